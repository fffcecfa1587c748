-- Grain: one row per item and category (Diginetica's product-categories.csv, RetailRocket's categoryid properties and
-- category tree), the staged table triples.
-- Columns: sql/staging/README.md. A property other than $property is dropped by the filter `hashed property`.
with parsed as (
    select
        line,
        fault,
        trim(head) as head,
        trim(category) as category,
        coalesce(trim(property), $property) as property
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when head = '' then 'item'
            when category = '' then 'category'
        end as rejected_column
    from parsed
)

select
    line,
    $head_kind as head_kind,
    case when $head_kind = 'item' then head else 'category:' || head end as head_external,
    $relation as relation,
    'entity' as tail_kind,
    'category:' || category as tail_external,
    case when rejected_column = 'category' and $head_kind = 'entity' then null else rejected_column end as rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'category' and $head_kind = 'entity' then null
        when rejected_column is not null then 'empty'
    end as reason,
    case
        when fault is not null then null
        when rejected_column = 'category' and $head_kind = 'entity' then 'no parent'
        when rejected_column is null and property <> $property then 'hashed property'
    end as filter
from judged
