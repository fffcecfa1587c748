-- Bad rows: ids that a table uses and the vocabulary does not know.
-- Columns: name (the table), kind, id.
with used as (
    select
        'events' as name,
        'user' as kind,
        user as id
    from read_parquet($events)
    union all
    select
        'events' as name,
        'item' as kind,
        item as id
    from read_parquet($events)
    union all
    select
        'items' as name,
        'item' as kind,
        item as id
    from read_parquet($items)
    union all
    select
        'triples' as name,
        head_kind as kind,
        head as id
    from read_parquet($triples)
    union all
    select
        'triples' as name,
        tail_kind as kind,
        tail as id
    from read_parquet($triples)
),

vocabulary as (
    select
        kind,
        id
    from read_parquet($vocabulary)
)

select distinct
    used.name,
    used.kind,
    used.id
from used
anti join vocabulary on used.kind = vocabulary.kind and used.id = vocabulary.id
