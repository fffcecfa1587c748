-- Grain: one row per property of a hotel (trivago's item_metadata.csv), the staged table triples; one per bad record.
-- Columns: sql/staging/README.md. Properties are text with bars between them. A hotel without any gives one row,
-- dropped by the filter `no properties`.
with parsed as (
    select
        line,
        fault,
        trim(item_id) as item_external,
        list_distinct(list_filter(
            list_transform(string_split(properties, '|'), lambda name: trim(name)), lambda name: name <> ''
        )) as names
    from block
),

judged as (
    select
        *,
        case when fault is null and not regexp_full_match(item_external, '[0-9]{1,18}') then 'item_id' end
            as rejected_column
    from parsed
),

told as (
    select
        line,
        fault,
        item_external,
        rejected_column,
        unnest(case when rejected_column is null and len(names) > 0 then list_sort(names) else [null] end) as name
    from judged
)

select
    line,
    'item' as head_kind,
    item_external as head_external,
    'item.property' as relation,
    'entity' as tail_kind,
    'property:' || name as tail_external,
    null::timestamptz as moment,
    rejected_column,
    coalesce(fault, case when rejected_column is not null then 'not a whole number' end) as reason,
    case when fault is null and rejected_column is null and name is null then 'no properties' end as filter
from told
