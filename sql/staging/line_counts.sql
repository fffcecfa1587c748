-- Grain: one row: what became of the lines of one file.
-- Columns: lines, header, blank, read (neither header nor blank), accepted, quarantined.
with lines as (
    select
        count(*) as lines,
        count(*) filter (where line <= $header_lines) as header,
        count(*) filter (where line > $header_lines and trim(raw) = '') as blank
    from read_parquet($lines)
),

staged as (
    select
        count(*) filter (where reason is null) as accepted,
        count(*) filter (where reason is not null) as quarantined
    from read_parquet($staged)
)

select
    lines.lines,
    lines.header,
    lines.blank,
    lines.lines - lines.header - lines.blank as read,
    staged.accepted,
    staged.quarantined
from lines
cross join staged
