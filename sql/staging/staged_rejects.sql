-- Grain: one row per rejected row among the staged rows of one block, by line.
-- Columns: line; column (null: the whole record); reason.
with staged as (
    select
        line,
        rejected_column,
        reason
    from read_parquet($staged)
    where reason is not null
)

select
    line,
    rejected_column as "column",
    reason
from staged
order by line, rejected_column
