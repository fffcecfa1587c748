-- Grain: one row per event that a protocol has placed, by the number of the event.
-- Columns: event, split, protocol.
select
    splits.event,
    splits.split,
    splits.protocol
from read_parquet($splits) as splits
order by splits.event
