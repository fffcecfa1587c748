-- Bad rows: lines of a file, neither header nor blank, that are not staged exactly once.
-- Columns: line, times.
with lines as (
    select line
    from read_parquet($lines)
    where line > $header_lines and trim(raw) <> ''
),

staged as (
    select
        line,
        count(*) as times
    from read_parquet($staged)
    group by line
)

select
    coalesce(lines.line, staged.line) as line,
    coalesce(staged.times, 0) as times
from lines
full outer join staged on lines.line = staged.line
where lines.line is null or staged.times is distinct from 1
