-- Grain: one row per record of somebody's own log of events, the staged table events.
-- Columns: sql/staging/README.md. Reads sql/staging/own_typed.sql as `block`.
with judged as (
    select
        *,
        $others = 'drop' and fault is null and behaviour is null as dropped,
        case
            when fault is not null then null
            when behaviour is null and $others = 'drop' then null
            when behaviour is null then 'behaviour'
            when user_external = '' then 'user'
            when item_external = '' then 'item'
            when time_fault is not null then 'time'
            when value_text <> '' and (value is null or not isfinite(value)) then 'value'
            when $valued and behaviour = 'rating' and value is null then 'value'
        end as rejected_role
    from block
)

select
    line,
    user_external,
    item_external,
    session_external,
    behaviour,
    value,
    moment,
    $columns[list_position($roles, rejected_role)] as rejected_column,
    case
        when fault is not null then fault
        when rejected_role is null then null
        when rejected_role = 'time' then time_fault
        when rejected_role = 'behaviour' and behaviour_text = '' then 'empty'
        when rejected_role = 'behaviour' then 'not among the listed behaviours'
        when rejected_role = 'value' and value_text = '' then 'empty, and a rating needs a value'
        when rejected_role = 'value' then 'not a finite number'
        else 'empty'
    end as reason,
    case when dropped then 'behaviour not listed' end as filter
from judged
