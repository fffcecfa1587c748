-- Bad rows: ids that a table uses and the vocabulary does not know. What it knows is 1 to the highest of a kind, as
-- dense_ids.sql checks.
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
        max(id) as highest
    from read_parquet($vocabulary)
    group by kind
)

select distinct
    used.name,
    used.kind,
    used.id
from used
left join vocabulary on used.kind = vocabulary.kind
where used.id < 1 or used.id > coalesce(vocabulary.highest, 0)
