-- Grain: one row per line of u.item, without header and blank lines.
-- u.item of ML-100K has a 0/1 flag for each genre, in the order of $genres.
-- Columns: line; item_id; title as written; year_text; categories; file; rejected_column and reason, null for an
-- accepted line; raw, only for a rejected one. The second line about an item is rejected.
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
        trim(fields[$title_field]) as title,
        '' as year_text,
        fields[$flags_field:] as flags,
        list_transform(
            list_filter(list_zip($genres, fields[$flags_field:]), lambda pair: pair[2] = '1'), lambda pair: pair[1]
        ) as categories
    from lines
),

judged as (
    select
        *,
        case
            when width <> $width then null
            when item_id is null or item_id = 0 then 'item'
            when len(list_filter(flags, lambda flag: flag not in ('0', '1'))) > 0 then 'genre'
        end as rejected_column,
        case
            when width <> $width then format('{} fields instead of {}', width, $width)
            when item_id is null or item_id = 0 then 'not a positive whole number'
            when len(list_filter(flags, lambda flag: flag not in ('0', '1'))) > 0 then 'a genre flag is neither 0 nor 1'
        end as fault
    from parsed
),

first_copies as (
    select
        *,
        min(line) over (partition by item_id, fault is null) as first_line
    from judged
)

select
    line,
    item_id,
    title,
    year_text,
    categories,
    $file_name as file,
    rejected_column,
    case
        when fault is not null then fault
        when line > first_line then format('repeats the item of line {}', first_line)
    end as reason,
    case when fault is not null or line > first_line then raw end as raw
from first_copies
