-- Grain: one row per line of a .kg file (head, relation, tail), the staged table triples.
-- Columns: sql/staging/README.md. Heads and tails are entities; those linked to an item become that item later.
with parsed as (
    select
        line,
        fault,
        trim(head_id) as head,
        trim(relation_id) as relation,
        trim(tail_id) as tail
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when head = '' then 'head'
            when relation = '' then 'relation'
            when tail = '' then 'tail'
        end as rejected_column
    from parsed
)

select
    line,
    'entity' as head_kind,
    head as head_external,
    relation,
    'entity' as tail_kind,
    tail as tail_external,
    null::timestamptz as moment,
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'empty' end as reason,
    null::varchar as filter
from judged
