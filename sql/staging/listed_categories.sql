-- Grain: one row per item with the list of its categories, such as `[7, 12]` or `7`, the staged table items.
-- Columns: sql/staging/README.md. The file calls the columns $item_column and $categories_column.
with parsed as (
    select
        line,
        fault,
        trim(item) as item_external,
        starts_with(trim(categories), '[') = ends_with(trim(categories), ']') as closed,
        nullif(trim(regexp_extract(trim(categories), '^\[?(.*?)\]?$', 1)), '') as listed
    from block
),

split as (
    select
        *,
        coalesce(list_transform(string_split(listed, ','), lambda part: trim(part)), []) as parts
    from parsed
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when item_external = '' then $item_column
            when not closed or list_contains(parts, '') then $categories_column
        end as rejected_column
    from split
)

select
    line,
    item_external,
    null::varchar as title,
    null::smallint as year,
    parts as categories,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when item_external = '' then 'empty'
        else 'not a list such as [7, 12]'
    end as reason,
    null::varchar as filter
from judged
