-- Grain: one row: how many records of a block have staged rows, where a record may give several.
-- Columns: lines.
with staged as (
    select line from read_parquet($staged)
)

select count(distinct line) as lines
from staged
