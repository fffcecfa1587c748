-- Grain: one row per kind of rejection in one staged file, the most frequent first.
-- Columns: rejected_column, reason without the line it repeats, rejected, first_line.
with staged as (
    select
        line,
        rejected_column,
        case when reason like 'repeats %' then regexp_replace(reason, ' [0-9]+$', '') else reason end as reason
    from read_parquet($staged)
    where reason is not null
)

select
    rejected_column,
    reason,
    count(*) as rejected,
    min(line) as first_line
from staged
group by rejected_column, reason
order by rejected desc, reason asc, rejected_column asc
