-- Grain: one row per item, the table ITEMS: item, title, year, categories. Where several rows describe an item, the
-- latest counts; an item that only events mention has no title and no categories.
with described as (
    select
        item_external,
        arg_max(title, feed * 10000000000 + line) as title,
        arg_max(year, feed * 10000000000 + line) as year,
        list_filter(arg_max(categories, feed * 10000000000 + line), lambda name: name <> $no_genre) as categories
    from read_parquet($items, union_by_name = true)
    group by item_external
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
    described.title,
    described.year::smallint as year,
    coalesce(described.categories, []::varchar[]) as categories
from vocabulary
left join described on vocabulary.external = described.item_external
order by item
