-- Grain: one row per video that somebody watched in KuaiRec, the staged table events; the value is the watch ratio.
-- Columns: sql/staging/README.md. The publisher left some times of the small matrix empty: those moments are unknown.
with parsed as (
    select
        line,
        fault,
        trim(user_id) as user_external,
        trim(video_id) as item_external,
        try_cast(watch_ratio as double) as value,
        trim(timestamp) as time_text,
        try_cast(timestamp as double) as seconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when user_external = '' then 'user_id'
            when item_external = '' then 'video_id'
            when value is null or not isfinite(value) or value < 0 then 'watch_ratio'
            when time_text <> '' and (seconds is null or not (seconds between $earliest and $latest)) then 'timestamp'
        end as rejected_column
    from parsed
)

select
    line,
    user_external,
    item_external,
    null::varchar as session_external,
    'watch' as behaviour,
    value,
    case when rejected_column is null then make_timestamptz(round(seconds * 1000000)::bigint) end as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column in ('user_id', 'video_id') then 'empty'
        when rejected_column = 'watch_ratio' and (value is null or not isfinite(value)) then 'not a finite number'
        when rejected_column = 'watch_ratio' then 'negative'
        when seconds is null or not isfinite(seconds) then 'not a number'
        when seconds / 1000 between $earliest and $latest
            then 'these look like milliseconds: seconds are expected'
        else 'not between 2000 and 2100'
    end as reason,
    null::varchar as filter
from judged
