-- Grain: one row per line of a file of links (item, entity of the knowledge graph), the staged table links.
-- Columns: sql/staging/README.md. Item ids are whole numbers from $least on.
with parsed as (
    select
        line,
        fault,
        case when regexp_full_match(trim(item_id), '[0-9]{1,18}') then trim(item_id)::bigint end as item_number,
        trim(entity_id) as entity
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(item_number, -1) < $least then 'item'
            when entity = '' then 'entity'
        end as rejected_column
    from parsed
)

select
    line,
    item_number::varchar as item_external,
    entity as entity_external,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'item' and $least > 0 then 'not a positive whole number'
        when rejected_column = 'item' then 'not a whole number'
        when rejected_column = 'entity' then 'empty'
    end as reason,
    null::varchar as filter
from judged
