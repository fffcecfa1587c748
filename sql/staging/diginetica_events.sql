-- Grain: one row per record of a Diginetica log (item views, purchases; sold or seen in a session), the staged table
-- events. The date is that of the event itself, the milliseconds run since its session began, which may have been weeks
-- before: the time is that day's midnight and these milliseconds, at most the day's last.
-- Columns: sql/staging/README.md. Who has no user id (NA) goes by the session.
with parsed as (
    select
        line,
        fault,
        trim(session_id) as session_text,
        trim(user_id) as user_text,
        trim(item_id) as item_text,
        try_strptime(trim(eventdate), '%Y-%m-%d')::timestamptz as day,
        case when regexp_full_match(trim(timeframe), '[0-9]{1,12}') then trim(timeframe)::bigint end as elapsed
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when session_text = '' then $session_column
            when not regexp_full_match(item_text, '[0-9]{1,18}') then $item_column
            when day is null or epoch(day) not between $earliest and $latest then 'eventdate'
            when elapsed is null then 'timeframe'
        end as rejected_column
    from parsed
)

select
    line,
    case when user_text in ('', 'NA') then 'session-' || session_text else user_text end as user_external,
    item_text as item_external,
    session_text as session_external,
    $behaviour as behaviour,
    null::double as value,
    day + to_milliseconds(least(elapsed, $last_of_day)) as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = $session_column then 'empty'
        when rejected_column = $item_column then 'not a whole number'
        when rejected_column = 'eventdate' and day is null then 'not a day such as 2016-05-09'
        when rejected_column = 'eventdate' then 'outside 1970 to 2100'
        when rejected_column = 'timeframe' then 'not a whole number of milliseconds'
    end as reason,
    null::varchar as filter
from judged
