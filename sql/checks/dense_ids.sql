-- Bad rows: kinds whose ids are not exactly 1 to their number.
-- Columns: kind, lowest, highest, ids.
with kinds as (
    select
        kind,
        min(id) as lowest,
        max(id) as highest,
        count(distinct id) as ids,
        count(*) as names
    from read_parquet($vocabulary)
    group by kind
)

select
    kind,
    lowest,
    highest,
    ids
from kinds
where lowest <> 1 or highest <> ids or ids <> names
