-- Grain: one row per name of a kind that a part of staged rows holds.
-- Columns: key, under which the part's rows name it; id.
with named as (
    select
        key,
        external
    from read_parquet($names)
),

vocabulary as (
    select
        external,
        id
    from read_parquet($vocabulary)
    where kind = $kind
)

select
    named.key,
    vocabulary.id
from named
inner join vocabulary on named.external = vocabulary.external
