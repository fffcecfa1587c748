-- Grain: one row per user, item, entity, session and request, the table VOCABULARY: kind, external, id (from 1).
with vocabulary as (
    select
        kind,
        external,
        id
    from read_parquet($base)
)

select
    kind,
    external,
    id
from vocabulary
order by list_position(['user', 'item', 'entity', 'session', 'request'], kind), id
