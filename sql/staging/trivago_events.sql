-- Grain: one row per action of a trivago log, the staged table events. An action on something else than an item (a city,
-- a filter, a sort order) is dropped by the filter `no item`.
-- Columns: sql/staging/README.md. The behaviour is click for a clickout, else the action's name.
with parsed as (
    select
        *,
        try_cast("timestamp" as bigint) as seconds,
        regexp_full_match(trim(reference), '[0-9]{1,18}') as is_item
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when trim(user_id) = '' then 'user_id'
            when trim(session_id) = '' then 'session_id'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
            when trim(action_type) = '' then 'action_type'
        end as rejected_column
    from parsed
)

select
    line,
    trim(user_id) as user_external,
    trim(reference) as item_external,
    trim(session_id) as session_external,
    case when trim(action_type) = 'clickout item' then 'click' else replace(trim(action_type), ' ', '_') end as behaviour,
    null::double as value,
    case when rejected_column is null and fault is null then to_timestamp(seconds) end as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column <> 'timestamp' then 'empty'
        when seconds is null then 'not a whole number of seconds'
        when seconds < $earliest then 'before 1970'
        else 'after 2100: seconds are expected, not milliseconds'
    end as reason,
    case when fault is null and rejected_column is null and not is_item then 'no item' end as filter
from judged
