-- Bad rows: items with more users than the slices of a protocol that are learned from have for them.
-- Columns: item, users, known.
with counted as (
    select
        item,
        users
    from read_parquet($counts)
),

learned as (
    select event from read_parquet($splits)
    where protocol = $protocol and split in (select unnest($slices))
),

training as (
    select
        events.item,
        count(distinct events.user) as known
    from read_parquet($events) as events
    inner join learned on events.event = learned.event
    group by events.item
)

select
    counted.item,
    counted.users,
    coalesce(training.known, 0) as known
from counted
left join training on counted.item = training.item
where counted.users > coalesce(training.known, 0)
