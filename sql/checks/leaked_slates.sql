-- Bad rows: shown items that a propensity model learned from although they are held out: from the user's own first
-- held-out event of the protocol $by_user on, from anybody's of the protocol $at_once on, or from the moment $until on.
-- Columns: event, moment.
with learned as (
    select
        stored.event,
        stored.user,
        stored.at as moment
    from read_parquet($learned) as stored
),

held as (
    select
        splits.protocol,
        events.user,
        events.at as moment
    from read_parquet($events) as events
    inner join read_parquet($splits) as splits on events.event = splits.event
    where splits.split in ('validation', 'test')
),

own as (
    select
        held.user,
        min(held.moment) as moment
    from held
    where held.protocol = $by_user
    group by held.user
),

common as (
    select least(min(moment), cast($until as timestamptz)) as moment from held
    where protocol = $at_once
)

select
    learned.event,
    learned.moment
from learned
cross join common
left join own on learned.user = own.user
where learned.moment >= own.moment or learned.moment >= common.moment
