-- Grain: one row per item and category (Diginetica's product-categories.csv), or category and parent (RetailRocket's
-- category_tree.csv), the staged table triples.
-- Columns: sql/staging/README.md. A root of the tree is dropped by the filter `no parent`.
with parsed as (
    select
        line,
        fault,
        trim(head) as head,
        trim(category) as category,
        case
            when fault is not null then null
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
    null::timestamptz as moment,
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'empty' end as reason,
    filter
from judged
