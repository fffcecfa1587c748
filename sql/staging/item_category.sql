-- Grain: one row per item and category (Diginetica's product-categories.csv, RetailRocket's categoryid properties and
-- category tree), the staged table triples.
-- Columns: sql/staging/README.md. A property other than $property is dropped by the filter `hashed property`, a root of
-- the tree by `no parent`. An item may change its category: each that it ever had is a fact.
with parsed as (
    select
        line,
        fault,
        trim(head) as head,
        trim(category) as category,
        case
            when fault is not null then null
            when trim(property) <> $property then 'hashed property'
            when $head_kind = 'entity' and trim(head) <> '' and trim(category) = '' then 'no parent'
        end as filter
    from block
),

judged as (
    select
        *,
        case
            when fault is not null or filter is not null then null
            when head = '' then $head_column
            when category = '' then $category_column
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
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'empty' end as reason,
    filter
from judged
