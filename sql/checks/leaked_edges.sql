-- Bad rows: user-item edges for which the slices of a protocol that are learned from have no event.
-- Columns: user, item.
with learned as (
    select event from read_parquet($splits)
    where protocol = $protocol and split in (select unnest($slices))
),

training as (
    select distinct
        events.user,
        events.item
    from read_parquet($events) as events
    inner join learned on events.event = learned.event
)

select
    edges.source as user,
    edges.target as item
from read_parquet($edges) as edges
anti join training on edges.source = training.user and edges.target = training.item
where edges.relation = 'user-item'
