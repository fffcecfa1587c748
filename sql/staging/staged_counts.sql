-- Grain: one row per reason and filter among the staged rows of one block; both null: accepted.
-- Columns: rejected_column; reason; filter; rows; lines (of this group); all_lines (of the block); first_line.
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
    count(distinct line) as lines,
    (select count(distinct whole.line) from staged as whole) as all_lines,
    min(line) as first_line
from staged
group by rejected_column, reason, filter
