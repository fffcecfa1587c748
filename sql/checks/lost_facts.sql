-- Bad rows: a table that does not hold as many rows as lines were accepted for it.
-- Columns: name, accepted, stored.
with ratings as (
    select count(*) as accepted
    from read_parquet($ratings)
    where reason is null
),

knowledge as (
    select count(*) as accepted
    from read_parquet($knowledge)
    where reason is null
),

events as (
    select count(*) as stored from read_parquet($events)
),

triples as (
    select count(*) as stored
    from read_parquet($triples)
    where relation <> 'item.genre'
),

counts as (
    select
        'events' as name,
        ratings.accepted,
        events.stored
    from ratings
    cross join events
    union all
    select
        'triples' as name,
        knowledge.accepted,
        triples.stored
    from knowledge
    cross join triples
)

select
    name,
    accepted,
    stored
from counts
where accepted <> stored
