-- Grain: one row per event, in an order drawn from $seed: that of a hash of the event's number.
-- Columns: event, user, value.
select
    events.event,
    events.user,
    events.value
from read_parquet($events) as events
order by md5_number_lower(concat_ws('-', $seed, events.event)), events.event
