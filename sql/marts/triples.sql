-- Grain: one row per fact, the table TRIPLES: head_kind, head, relation, tail_kind, tail. Repeated facts count once.
-- Genres of the items, then the knowledge graph; an entity that is linked to a known item is that item, if $linked.
with vocabulary as (
    select
        kind,
        external,
        id
    from read_parquet($vocabulary)
),

genres as (
    select
        items.item,
        'genre:' || unnest(items.categories) as entity
    from read_parquet($items) as items
),

knowledge as (
    select
        head_kind,
        head_external,
        relation,
        tail_kind,
        tail_external
    from read_parquet($knowledge, union_by_name = true)
),

links as (
    select
        item_external,
        entity_external
    from read_parquet($links, union_by_name = true)
    where $linked
),

linked as (
    select
        'entity' as kind,
        links.entity_external as external,
        'item' as node_kind,
        min(vocabulary.id) as node
    from links
    inner join vocabulary on vocabulary.kind = 'item' and links.item_external = vocabulary.external
    group by links.entity_external
),

nodes as (
    select
        kind,
        external,
        node_kind,
        node
    from linked
    union all
    select
        vocabulary.kind,
        vocabulary.external,
        vocabulary.kind as node_kind,
        vocabulary.id as node
    from vocabulary
    anti join linked on vocabulary.kind = linked.kind and vocabulary.external = linked.external
    where vocabulary.kind in ('user', 'item', 'entity')
),

facts as (
    select distinct
        'item' as head_kind,
        genres.item as head,
        'item.genre' as relation,
        nodes.node_kind as tail_kind,
        nodes.node as tail
    from genres
    inner join nodes on nodes.kind = 'entity' and genres.entity = nodes.external
    union
    select
        heads.node_kind as head_kind,
        heads.node as head,
        knowledge.relation,
        tails.node_kind as tail_kind,
        tails.node as tail
    from knowledge
    inner join nodes as heads on knowledge.head_kind = heads.kind and knowledge.head_external = heads.external
    inner join nodes as tails on knowledge.tail_kind = tails.kind and knowledge.tail_external = tails.external
)

select
    head_kind,
    head,
    relation,
    tail_kind,
    tail
from facts
order by relation, head_kind, head, tail_kind, tail
