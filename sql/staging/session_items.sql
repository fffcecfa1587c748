-- Grain: one row per item of a line of JSON, the staged table events: a session [item, item, ...], or an instance
-- {"seq": [item, ...], "target": item}, whose target is its last item. A session is its line, named $prefix and number.
-- Columns: sql/staging/README.md, and `place`, the item's in the session. Sources give no times.
with parsed as (
    select
        line,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when json_type(raw) = 'ARRAY' then null
            when coalesce(json_type(raw, '$.seq') = 'ARRAY' and json_exists(raw, '$.target'), false) then null
            else 'neither a list of items nor seq and target'
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
            when json_type(raw) = 'ARRAY' then json_extract(raw, '$[*]')
            else list_append(json_extract(raw, '$.seq[*]'), json_extract(raw, '$.target'))
        end as items
    from parsed
),

told as (
    select
        line,
        fault,
        unnest(case when len(items) > 0 then items else [null] end) as item,
        unnest(range(greatest(coalesce(len(items), 0), 1))) as place
    from listed
),

judged as (
    select
        line,
        fault,
        place,
        item is null as is_empty,
        case
            when json_type(item) in ('BIGINT', 'UBIGINT', 'VARCHAR') then trim(item ->> '$')
            else ''
        end as item_external
    from told
)

select
    line,
    $prefix || line as user_external,
    item_external,
    $prefix || line as session_external,
    $behaviour as behaviour,
    null::double as value,
    null::timestamptz as moment,
    case when fault is null and not is_empty and item_external = '' then 'item' end as rejected_column,
    case
        when fault is not null then fault
        when not is_empty and item_external = '' then 'neither a name nor a whole number'
    end as reason,
    case when fault is null and is_empty then 'no items' end as filter,
    place::integer as place
from judged
