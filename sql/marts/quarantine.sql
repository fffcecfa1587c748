-- Grain: one row per rejected line, the table QUARANTINE: file, line, column (null: the whole line), reason, raw.
with staged as (
    select
        file,
        line,
        rejected_column,
        reason,
        raw
    from read_parquet($staged, union_by_name = true)
)

select
    file,
    line,
    rejected_column as "column",
    reason,
    raw
from staged
where reason is not null
order by file, line
