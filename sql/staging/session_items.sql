-- Grain: one row per item of a line of JSON, the staged table events: a session [item, item, ...], or an instance
-- {"seq": [item, ...], "target": item}, whose target is its last item. A session is its line, named $prefix and number.
-- Columns: sql/staging/README.md, and `place`, the item's in the session. Sources give no times.
with parsed as (
    select
        line,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when json_type(raw) not in ('ARRAY', 'OBJECT') then 'neither a list of items nor seq and target'
            when json_type(raw) = 'OBJECT' and (json_type(raw, '$.seq') <> 'ARRAY' or json_type(raw, '$.target') is null)
                then 'neither a list of items nor seq and target'
        end as fault,
        raw
    from block
),

listed as (
    select
        line,
        fault,
        case
            when fault is not null then null
            when json_type(raw) = 'ARRAY' then from_json(raw, '["VARCHAR"]')
            else list_append(from_json(json_extract(raw, '$.seq'), '["VARCHAR"]'), json_extract_string(raw, '$.target'))
        end as items
    from parsed
),

told as (
    select
        line,
        fault,
        unnest(case when len(items) > 0 then items else [null] end) as item_external,
        unnest(range(greatest(coalesce(len(items), 0), 1))) as place,
        coalesce(len(items), 0) as count_of_items
    from listed
)

select
    line,
    $prefix || line as user_external,
    item_external,
    $prefix || line as session_external,
    $behaviour as behaviour,
    null::double as value,
    null::timestamptz as moment,
    case when fault is null and count_of_items > 0 and coalesce(item_external, '') = '' then 'item' end
        as rejected_column,
    case
        when fault is not null then fault
        when count_of_items > 0 and coalesce(item_external, '') = '' then 'empty'
    end as reason,
    case when fault is null and count_of_items = 0 then 'no items' end as filter,
    place::integer as place
from told
