-- Bad rows: shown items that the vocabulary does not know (code OPE005 of rlrec.ope.codes). What it knows is 1 to the
-- highest, as dense_ids.sql checks.
-- Columns: event, item.
with logged as (
    select
        event,
        item
    from read_parquet($slates)
),

vocabulary as (
    select max(id) as highest
    from read_parquet($vocabulary)
    where kind = 'item'
)

select
    logged.event,
    logged.item
from logged
cross join vocabulary
where logged.item is null or logged.item < 1 or logged.item > coalesce(vocabulary.highest, 0)
