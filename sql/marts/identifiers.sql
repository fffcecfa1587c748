-- Grain: one row per item and authority, the table IDENTIFIERS: item, authority (imdb, tmdb), identifier.
with named as (
    select
        item_external,
        authority,
        arg_max(identifier, feed * 10000000000 + line) as identifier
    from read_parquet($identifiers, union_by_name = true)
    group by item_external, authority
),

vocabulary as (
    select
        external,
        id
    from read_parquet($vocabulary)
    where kind = 'item'
)

select
    vocabulary.id as item,
    named.authority,
    named.identifier
from named
inner join vocabulary on named.item_external = vocabulary.external
order by item, authority
