-- Grain: one row per user, item and entity, the table VOCABULARY: kind, external, id (dense within its kind, from 1).
-- Users and items are numbered in the order of their numbers; items include those that nobody rated, so that item ids
-- do not depend on the events. An entity that is linked to a known item is that item, if $linked.
with ratings as (
    select
        user_id,
        item_id
    from read_parquet($ratings)
    where reason is null
),

described as (
    select
        item_id,
        categories
    from read_parquet($items)
    where reason is null
),

links as (
    select
        item_id,
        entity
    from read_parquet($links)
    where reason is null and $linked
),

knowledge as (
    select
        head,
        tail
    from read_parquet($knowledge)
    where reason is null
),

users as (
    select distinct user_id from ratings
),

items as (
    select item_id from described
    union
    select item_id from ratings
),

entities as (
    select 'genre:' || unnest(categories) as entity from described
    union
    select head as entity from knowledge
    union
    select tail as entity from knowledge
),

named as (
    select
        'user' as kind,
        1 as place,
        user_id as number,
        user_id::varchar as external
    from users
    union all
    select
        'item' as kind,
        2 as place,
        item_id as number,
        item_id::varchar as external
    from items
    union all
    select
        'entity' as kind,
        3 as place,
        0 as number,
        entity as external
    from entities
    where
        entity <> 'genre:' || $no_genre
        and entity not in (select links.entity from links inner join items on links.item_id = items.item_id)
)

select
    kind,
    external,
    (row_number() over (partition by kind order by number, external))::integer as id
from named
order by place, id
