-- Grain: one row per line of a .link file (item, entity of the knowledge graph), without header and blank lines.
-- Columns: line; item_id; entity; file; rejected_column and reason, null for an accepted line; raw, only for a rejected
-- one. An entity stands for one item: its second link is rejected.
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
        case
            when regexp_full_match(trim(fields[$item_field]), '[0-9]{1,18}') then trim(fields[$item_field])::bigint
        end as item_id,
        trim(fields[$entity_field]) as entity
    from lines
),

judged as (
    select
        *,
        case
            when width <> $width then null
            when item_id is null or item_id = 0 then 'item'
            when entity = '' then 'entity'
        end as rejected_column,
        case
            when width <> $width then format('{} fields instead of {}', width, $width)
            when item_id is null or item_id = 0 then 'not a positive whole number'
            when entity = '' then 'empty'
        end as fault
    from parsed
),

first_copies as (
    select
        *,
        min(line) over (partition by entity, fault is null) as first_line
    from judged
)

select
    line,
    item_id,
    entity,
    $file_name as file,
    rejected_column,
    case
        when fault is not null then fault
        when line > first_line then format('repeats the entity of line {}', first_line)
    end as reason,
    case when fault is not null or line > first_line then raw end as raw
from first_copies
