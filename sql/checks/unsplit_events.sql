-- Bad rows: events that a protocol does not place in exactly one slice, and slices of unknown events.
-- Columns: event, protocol, times.
-- The number of rows and the sum of hashes tell in one pass which protocols have other events than there are; only
-- theirs are then compared one by one.
with events as not materialized (
    select event from read_parquet($events)
),

splits as not materialized (
    select
        event,
        protocol
    from read_parquet($splits)
),

total as (
    select
        count(*) as number,
        sum(hash(event)) as checksum
    from events
),

sums as (
    select
        protocol,
        count(*) as number,
        sum(hash(event)) as checksum
    from splits
    group by protocol
),

suspected as (
    select sums.protocol
    from sums
    anti join total on sums.number = total.number and sums.checksum = total.checksum
),

expected as (
    select
        events.event,
        suspected.protocol
    from events
    cross join suspected
),

placed as (
    select
        splits.event,
        splits.protocol,
        count(*) as times
    from splits
    semi join suspected on splits.protocol = suspected.protocol
    group by splits.event, splits.protocol
)

select
    coalesce(expected.event, placed.event) as event,
    coalesce(expected.protocol, placed.protocol) as protocol,
    coalesce(placed.times, 0) as times
from expected
full outer join placed on expected.event = placed.event and expected.protocol = placed.protocol
where expected.event is null or placed.times is distinct from 1
