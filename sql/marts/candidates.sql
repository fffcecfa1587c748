-- Grain: one row per item that could be shown in some request, the table CANDIDATES: candidates_id, item, rank, origin.
-- Lists that are equal have one id, the same that LOGGED_SLATES names.
with lists as (
    select
        base.candidates,
        dense_rank() over (order by base.candidates) as candidates_id
    from read_parquet($base) as base
),

places as (
    select distinct
        lists.candidates_id,
        lists.candidates
    from lists
    where lists.candidates is not null
),

offered as (
    select
        places.candidates_id,
        unnest(places.candidates) as external,
        generate_subscripts(places.candidates, 1) as place
    from places
),

vocabulary as (
    select
        external,
        id
    from read_parquet($vocabulary)
    where kind = 'item'
)

select
    offered.candidates_id,
    vocabulary.id as item,
    (min(offered.place) - 1)::smallint as rank,
    'logged' as origin
from offered
inner join vocabulary on offered.external = vocabulary.external
group by offered.candidates_id, vocabulary.id
order by candidates_id, rank
