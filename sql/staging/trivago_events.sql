-- Grain: one row per action of a trivago log, the staged table events. An action on something else than an item (a
-- city, a filter, a sort order), or on an item that is not told, is dropped by the filter `no item`.
-- Columns: sql/staging/README.md. The behaviour is click for a clickout, else the action's name.
with parsed as (
    select
        line,
        fault,
        trim(user_id) as user_text,
        trim(session_id) as session_text,
        trim(action_type) as action,
        trim(reference) as item_text,
        list_contains($item_actions, trim(action_type)) as is_about_item,
        case when regexp_full_match(trim(timestamp), '-?[0-9]{1,18}') then trim(timestamp)::bigint end as seconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when user_text = '' then 'user_id'
            when session_text = '' then 'session_id'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
            when not is_about_item and not list_contains($other_actions, action) then 'action_type'
            when
                is_about_item
                and item_text not in ('', 'unknown')
                and not regexp_full_match(item_text, '[0-9]{1,18}')
                then 'reference'
        end as rejected_column
    from parsed
)

select
    line,
    user_text as user_external,
    item_text as item_external,
    session_text as session_external,
    case when action = 'clickout item' then 'click' else replace(action, ' ', '_') end as behaviour,
    null::double as value,
    case when rejected_column is null then to_timestamp(seconds) end as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column = 'action_type' then 'not an action of the log'
        when rejected_column = 'reference' then 'not an item number'
        when rejected_column <> 'timestamp' then 'empty'
        when seconds is null then 'not a whole number of seconds'
        when seconds < $earliest then 'before 1970'
        else 'after 2100: seconds are expected, not milliseconds'
    end as reason,
    case
        when fault is not null or rejected_column is not null then null
        when not is_about_item or item_text in ('', 'unknown') then 'no item'
    end as filter
from judged
