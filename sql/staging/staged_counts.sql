-- Grain: one row per reason and filter among the staged rows of one block; both null: accepted.
-- Columns: rejected_column; reason; filter; rows; first_line.
with staged as (
    select
        line,
        rejected_column,
        reason,
        filter
    from read_parquet($staged)
)

select
    rejected_column,
    reason,
    filter,
    count(*) as rows,
    min(line) as first_line
from staged
group by rejected_column, reason, filter
