-- Grain: one row per day, UTC, on which a staged part has accepted rows with a time.
-- Columns: day.
with staged as (
    select moment
    from read_parquet($staged)
    where reason is null and filter is null and moment is not null
)

select distinct moment::timestamp::date as day
from staged
