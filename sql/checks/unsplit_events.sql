-- Bad rows: events that a protocol does not place in exactly one slice, and slices of unknown events.
-- Columns: event, protocol, times.
with events as (
    select event from read_parquet($events)
),

splits as (
    select
        event,
        protocol
    from read_parquet($splits)
),

protocols as (
    select distinct protocol from splits
),

expected as (
    select
        events.event,
        protocols.protocol
    from events
    cross join protocols
),

placed as (
    select
        event,
        protocol,
        count(*) as times
    from splits
    group by event, protocol
)

select
    coalesce(expected.event, placed.event) as event,
    coalesce(expected.protocol, placed.protocol) as protocol,
    coalesce(placed.times, 0) as times
from expected
full outer join placed on expected.event = placed.event and expected.protocol = placed.protocol
where expected.event is null or placed.times is distinct from 1
