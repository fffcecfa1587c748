-- Grain: one row per pair of linked items that have a category and share a small node of the knowledge graph, or stand
-- in one fact. A node on more than $largest_node items says little about them. At most $most_pairs pairs, in the order
-- of a hash, so that the choice is always the same and favours nothing.
-- Columns: one_id, other_id (one_id < other_id).
with described as (
    select item_external as item_id
    from read_parquet($items)
    where len(list_filter(categories, lambda name: name <> $no_genre)) > 0
),

links as (
    select
        item_external as item_id,
        entity_external as entity
    from read_parquet($links)
),

knowledge as (
    select
        head_external as head,
        relation,
        tail_external as tail
    from read_parquet($knowledge)
),

linked as (
    select
        links.item_id,
        links.entity
    from links
    inner join described on links.item_id = described.item_id
),

facts as (
    select
        head as entity,
        relation,
        tail as node
    from knowledge
    union
    select
        tail as entity,
        relation,
        head as node
    from knowledge
),

touched as (
    select
        linked.item_id,
        facts.relation,
        facts.node,
        count(*) over (partition by facts.relation, facts.node) as items
    from facts
    inner join linked on facts.entity = linked.entity
),

small as (
    select
        item_id,
        relation,
        node
    from touched
    where items <= $largest_node
),

joined as (
    select
        ones.item_id as one_id,
        others.item_id as other_id
    from small as ones
    inner join small as others on ones.relation = others.relation and ones.node = others.node
    union
    select
        touched.item_id as one_id,
        linked.item_id as other_id
    from touched
    inner join linked on touched.node = linked.entity
),

pairs as (
    select
        one_id,
        other_id
    from joined
    where one_id < other_id
    order by md5(concat_ws('-', one_id, other_id)), one_id, other_id
    limit $most_pairs
)

select
    one_id,
    other_id
from pairs
order by one_id, other_id
