-- Grain: one row per line of a MovieLens ratings file (u.data, ratings.dat, .inter), without header and blank lines.
-- Columns: line; user_id, item_id; value in whole stars; seconds since 1970 UTC; file; rejected_column and reason, null
-- for an accepted line; raw, only for a rejected one. The second copy of a rating is rejected.
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
            when regexp_full_match(trim(fields[$user_field]), '[0-9]{1,18}') then trim(fields[$user_field])::bigint
        end as user_id,
        case
            when regexp_full_match(trim(fields[$item_field]), '[0-9]{1,18}') then trim(fields[$item_field])::bigint
        end as item_id,
        try_cast(trim(fields[$value_field]) as double) as value,
        case
            when regexp_full_match(trim(fields[$seconds_field]), '-?[0-9]{1,18}([.]0*)?')
                then split_part(trim(fields[$seconds_field]), '.', 1)::bigint
        end as seconds
    from lines
),

judged as (
    select
        *,
        case
            when width <> $width then null
            when user_id is null or user_id = 0 then 'user'
            when item_id is null or item_id = 0 then 'item'
            when value is null or isnan(value) or value not between $lowest and $highest or value <> round(value)
                then 'rating'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
        end as rejected_column,
        case
            when width <> $width then format('{} fields instead of {}', width, $width)
            when user_id is null or user_id = 0 or item_id is null or item_id = 0 then 'not a positive whole number'
            when value is null or isnan(value) then 'not a number'
            when value not between $lowest and $highest then format('outside {} to {}', $lowest, $highest)
            when value <> round(value) then 'not a whole star'
            when seconds is null then 'not a whole number of seconds'
            when seconds < $earliest then 'before 1970'
            when seconds > $latest then 'after 2100: seconds are expected, not milliseconds'
        end as fault
    from parsed
),

first_copies as (
    select
        *,
        min(line) over (partition by user_id, item_id, value, seconds, fault is null) as first_line
    from judged
)

select
    line,
    user_id,
    item_id,
    value,
    seconds,
    $file_name as file,
    rejected_column,
    case
        when fault is not null then fault
        when line > first_line then format('repeats line {}', first_line)
    end as reason,
    case when fault is not null or line > first_line then raw end as raw
from first_copies
