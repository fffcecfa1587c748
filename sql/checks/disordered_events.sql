-- Bad rows: events that come later than the next one by number, or have its number.
-- Columns: event, event_before, moment.
with events as (
    select
        stored.event,
        stored.at as moment,
        lag(stored.event) over (order by stored.event) as event_before,
        lag(stored.at) over (order by stored.event) as moment_before
    from read_parquet($events) as stored
)

select
    event,
    event_before,
    moment
from events
where event = event_before or moment < moment_before
