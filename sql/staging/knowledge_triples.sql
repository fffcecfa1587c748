-- Grain: one row per line of a .kg file (head, relation, tail), without header and blank lines.
-- Columns: line; head, relation, tail as written; file; rejected_column and reason, null for an accepted line; raw,
-- only for a rejected one. The second copy of a triple is rejected.
with lines as (
    select
        line,
        raw,
        string_split(raw, $separator) as fields
    from read_parquet($lines)
    where line > $header_lines and trim(raw) <> ''
),

parsed as (
    select
        line,
        raw,
        len(fields) as width,
        trim(fields[$head_field]) as head,
        trim(fields[$relation_field]) as relation,
        trim(fields[$tail_field]) as tail
    from lines
),

judged as (
    select
        *,
        case
            when width <> $width then null
            when head = '' then 'head'
            when relation = '' then 'relation'
            when tail = '' then 'tail'
        end as rejected_column,
        case
            when width <> $width then format('{} fields instead of {}', width, $width)
            when head = '' or relation = '' or tail = '' then 'empty'
        end as fault
    from parsed
),

first_copies as (
    select
        *,
        min(line) over (partition by head, relation, tail, fault is null) as first_line
    from judged
)

select
    line,
    head,
    relation,
    tail,
    $file_name as file,
    rejected_column,
    case
        when fault is not null then fault
        when line > first_line then format('repeats line {}', first_line)
    end as reason,
    case when fault is not null or line > first_line then raw end as raw
from first_copies
