-- Grain: one row per rejected row of a raw file, the table QUARANTINE: file, line, column (null: the whole record),
-- reason, raw.
with rejects as (
    select
        file,
        line,
        "column",
        reason,
        raw
    from read_parquet($base)
)

select distinct
    file,
    line,
    "column",
    reason,
    raw
from rejects
order by file, line, "column", reason
