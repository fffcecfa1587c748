-- Grain: one row per fact, the table TRIPLES: head_kind, head, relation, tail_kind, tail.
-- Genres of the item file, then the knowledge graph; an entity that is linked to a known item is that item, if $linked.
with vocabulary as (
    select
        kind,
        external,
        id
    from read_parquet($vocabulary)
),

genres as (
    select
        item_id::varchar as item_external,
        'genre:' || unnest(categories) as entity
    from read_parquet($items)
    where reason is null
),

knowledge as (
    select
        head,
        relation,
        tail
    from read_parquet($knowledge)
    where reason is null
),

links as (
    select
        item_id::varchar as item_external,
        entity
    from read_parquet($links)
    where reason is null and $linked
),

nodes as (
    select
        vocabulary.kind,
        vocabulary.id,
        links.entity
    from links
    inner join vocabulary on vocabulary.kind = 'item' and links.item_external = vocabulary.external
    union all
    select
        kind,
        id,
        external as entity
    from vocabulary
    where kind = 'entity'
),

facts as (
    select distinct
        'item' as head_kind,
        items.id as head,
        'item.genre' as relation,
        nodes.kind as tail_kind,
        nodes.id as tail
    from genres
    inner join vocabulary as items on items.kind = 'item' and genres.item_external = items.external
    inner join nodes on genres.entity = nodes.entity
    union all
    select
        heads.kind as head_kind,
        heads.id as head,
        knowledge.relation,
        tails.kind as tail_kind,
        tails.id as tail
    from knowledge
    inner join nodes as heads on knowledge.head = heads.entity
    inner join nodes as tails on knowledge.tail = tails.entity
)

select
    head_kind,
    head,
    relation,
    tail_kind,
    tail
from facts
order by relation, head_kind, head, tail_kind, tail
