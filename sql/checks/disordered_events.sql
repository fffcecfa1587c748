-- Bad rows: events that do not have a higher number, and as late a moment, as the one before them in the file.
-- Columns: event, event_before, moment.
with events as (
    select
        stored.event,
        stored.at as moment,
        lag(stored.event) over () as event_before,
        lag(stored.at) over () as moment_before
    from read_parquet($events) as stored
)

select
    event,
    event_before,
    moment
from events
where event <= event_before or moment < moment_before
