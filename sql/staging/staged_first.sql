-- Grain: one row per accepted row of a staged part, the first $most of them by line.
-- Columns: line and the columns of the part's table.
with staged as (
    select *
    from read_parquet($staged)
)

select * exclude (rejected_column, reason, filter, bucket)
from staged
where reason is null and filter is null
order by line
limit $most
