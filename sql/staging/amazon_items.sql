-- Grain: one row per product of Amazon's metadata (JSON lines of 2014, 2018 or 2023), the staged table items.
-- Columns: sql/staging/README.md. Categories are one list, or of 2014 a list of paths; each name counts once.
with parsed as (
    select
        line,
        fault,
        coalesce(json_type(try_cast(raw as json)) = 'OBJECT', false) as readable,
        starts_with(trim(raw), '{''') as is_literal,
        try_cast(raw as json) as told
    from block
),

named as (
    select
        *,
        trim(coalesce(told ->> '$.parent_asin', told ->> '$.asin', '')) as item_external,
        case
            when json_type(told, '$.categories[0]') = 'ARRAY' then json_extract_string(told, '$.categories[*][*]')
            else
                list_concat(
                    json_extract_string(told, '$.categories[*]'), json_extract_string(told, '$.category[*]')
                )
        end as names
    from parsed
)

select
    line,
    item_external,
    nullif(trim(told ->> '$.title'), '') as title,
    null::smallint as year,
    list_sort(list_distinct(list_filter(list_transform(names, lambda name: trim(name)), lambda name: name <> '')))
        as categories,
    case when readable and item_external = '' then 'asin' end as rejected_column,
    case
        when fault is not null then fault
        when readable and item_external = '' then 'empty'
        when readable then null
        when is_literal then 'a Python literal, not JSON: write json.dumps(ast.literal_eval(line)) for each line'
        else 'not a JSON object'
    end as reason,
    null::varchar as filter
from named
