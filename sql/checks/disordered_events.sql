-- Bad rows: events whose number is not their place in time.
-- Columns: event, place, moment.
with events as (
    select
        stored.event,
        stored.at as moment,
        row_number() over (order by stored.event) as place,
        lag(stored.at) over (order by stored.event) as moment_before
    from read_parquet($events) as stored
)

select
    event,
    place,
    moment
from events
where event <> place or moment < moment_before
