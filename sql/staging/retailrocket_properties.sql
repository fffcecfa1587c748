-- Grain: one row per record of RetailRocket's item_properties_part*.csv, the staged table triples: from then on, the
-- item's property has this value.
-- Columns: sql/staging/README.md. Two properties have names, the category and whether the item can be bought; of the
-- others, numbers and words are hashed by the publisher, so a value is kept whole: equal ones are one entity.
with parsed as (
    select
        line,
        fault,
        trim(item_id) as item_external,
        trim(property) as property,
        trim(value) as value,
        case when regexp_full_match(trim(timestamp), '-?[0-9]{1,18}') then trim(timestamp)::bigint end as milliseconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when milliseconds is null or milliseconds // 1000 not between $earliest and $latest then 'timestamp'
            when item_external = '' then 'itemid'
            when property = '' then 'property'
            when value = '' then 'value'
        end as rejected_column
    from parsed
)

select
    line,
    'item' as head_kind,
    item_external as head_external,
    case property
        when 'categoryid' then 'item.category'
        when 'available' then 'item.available'
        else 'item.property:' || property
    end as relation,
    'entity' as tail_kind,
    case property
        when 'categoryid' then 'category:' || value
        when 'available' then 'available:' || value
        else 'property:' || property || '=' || value
    end as tail_external,
    case when rejected_column is null and fault is null then make_timestamptz(milliseconds * 1000) end as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column <> 'timestamp' then 'empty'
        when milliseconds is null then 'not a whole number of milliseconds'
        when milliseconds // 1000 < $earliest then 'before 2000: milliseconds are expected, not seconds'
        else 'after 2100'
    end as reason,
    null::varchar as filter
from judged
