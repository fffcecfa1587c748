-- Grain: one row per fact that holds at the end: of the facts of one head and relation that have a moment only the
-- latest. What the table TRIPLES is made of; apart from it, so that each of the two fits into memory.
-- Columns: head_kind, head_external, relation, tail_kind, tail_external.
select
    head_kind,
    head_external,
    relation,
    tail_kind,
    tail_external
from read_parquet($triples, union_by_name = true)
where moment is null
union all
select
    head_kind,
    head_external,
    relation,
    tail_kind,
    tail_external
from read_parquet($triples, union_by_name = true)
where moment is not null
qualify row_number() over (
    partition by head_kind, head_external, relation
    order by moment desc, feed desc, line desc, place desc
) = 1
