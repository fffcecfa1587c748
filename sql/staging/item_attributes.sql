-- Grain: one row per item and attribute of a JSON object {item: [attribute, ...], ...}, the staged table triples:
-- item.attribute. An item without any gives one row, dropped by the filter `no attributes`.
-- Columns: sql/staging/README.md. The object is one line; attributes are entities, `attribute:8`.
with parsed as (
    select
        line,
        fault,
        case when fault is null and json_valid(raw) then from_json(raw, '"MAP(VARCHAR, JSON)"') end as described
    from block
),

entries as (
    select
        line,
        case
            when fault is not null then fault
            when described is null then 'neither a JSON object, nor with each item once'
        end as fault,
        unnest(case when len(map_keys(described)) > 0 then map_keys(described) else [null] end) as item,
        unnest(case when len(map_keys(described)) > 0 then map_values(described) else [null] end) as tails
    from parsed
),

listed as (
    select
        line,
        fault,
        trim(item) as item,
        coalesce(json_type(tails) = 'ARRAY', false) as is_list,
        case when json_type(tails) = 'ARRAY' then from_json(tails, '["VARCHAR"]') end as attributes
    from entries
),

told as (
    select
        line,
        fault,
        item,
        is_list,
        coalesce(len(attributes), 0) = 0 as lacks_attributes,
        unnest(case when len(attributes) > 0 then attributes else [null] end) as attribute
    from listed
),

judged as (
    select
        *,
        case
            when fault is not null or item is null then null
            when item = '' then 'item'
            when not is_list or (not lacks_attributes and coalesce(trim(attribute), '') = '') then 'attribute'
        end as rejected_column
    from told
)

select
    line,
    'item' as head_kind,
    item as head_external,
    'item.attribute' as relation,
    'entity' as tail_kind,
    'attribute:' || trim(attribute) as tail_external,
    null::timestamptz as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'attribute' and not is_list then 'not a list'
        when rejected_column is not null then 'empty'
    end as reason,
    case when fault is null and rejected_column is null and lacks_attributes then 'no attributes' end as filter
from judged
