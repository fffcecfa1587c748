-- Grain: one row per record of a Diginetica log (item views, purchases; sold or seen in a session), the staged table
-- events. The time is midnight of the date, and the milliseconds since the session began.
-- Columns: sql/staging/README.md. Who has no user id (NA) goes by the session.
with parsed as (
    select
        *,
        try_strptime(trim(eventdate), '%Y-%m-%d')::timestamptz as day,
        case when regexp_full_match(trim(timeframe), '[0-9]{1,12}') then trim(timeframe)::bigint end as elapsed
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when trim(session_id) = '' then 'session'
            when not regexp_full_match(trim(item_id), '[0-9]{1,18}') then 'item'
            when day is null then 'eventdate'
            when elapsed is null then 'timeframe'
        end as rejected_column
    from parsed
)

select
    line,
    case when trim(user_id) in ('', 'NA') then 'session-' || trim(session_id) else trim(user_id) end as user_external,
    trim(item_id) as item_external,
    trim(session_id) as session_external,
    $behaviour as behaviour,
    null::double as value,
    day + to_milliseconds(elapsed) as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'session' then 'empty'
        when rejected_column = 'item' then 'not a whole number'
        when rejected_column = 'eventdate' then 'not a day such as 2016-05-09'
        when rejected_column = 'timeframe' then 'not a whole number of milliseconds'
    end as reason,
    null::varchar as filter
from judged
