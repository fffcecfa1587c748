-- Grain: one row per entity that no earlier ingestion knows, to be added to the table VOCABULARY.
-- Columns: kind, external, id (goes on after the known ones), bucket (null). Entities are the genres of items and what
-- the triples mention; one that is linked to a known item is that item, if $linked.
with items as (
    select external from read_parquet($vocabulary)
    where kind = 'item'
),

linked as (
    select links.entity_external as external
    from read_parquet($links) as links
    inner join items on links.item_external = items.external
    where $linked
),

mentioned as (
    select
        unnest([head_external, tail_external]) as external,
        unnest([head_kind, tail_kind]) as kind
    from read_parquet($triples)
),

entities as (
    select 'genre:' || unnest(list_filter(categories, lambda name: name <> $no_genre)) as external
    from read_parquet($items)
    union
    select external from mentioned
    where kind = 'entity'
),

known as (
    select external from read_parquet($known)
    where kind = 'entity'
)

select
    'entity' as kind,
    entities.external,
    ($last + row_number() over (order by entities.external))::integer as id,
    null::smallint as bucket
from entities
anti join linked on entities.external = linked.external
anti join known on entities.external = known.external
order by id
