-- Grain: one row per item, the table ITEMS: item, title without its year, year, categories.
-- An item that only events mention has no title and no categories.
with described as (
    select
        item_id::varchar as external,
        nullif(trim(regexp_replace(title, $year_pattern, '')), '') as title,
        case
            when regexp_full_match(year_text, '[0-9]{4}') then year_text
            else regexp_extract(title, $year_pattern, 1)
        end as year_text,
        list_filter(categories, lambda name: name <> $no_genre) as categories
    from read_parquet($items)
    where reason is null
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
    try_cast(nullif(described.year_text, '') as smallint) as year,
    coalesce(described.categories, []::varchar[]) as categories
from vocabulary
left join described on vocabulary.external = described.external
order by item
