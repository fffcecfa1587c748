-- Grain: one row per item of a MovieLens file whose genres are words (movies.dat, movies.csv, .item), the staged table
-- items. The year stands in its own column, or in brackets at the end of the title.
-- Columns: sql/staging/README.md.
with parsed as (
    select
        line,
        fault,
        case when regexp_full_match(trim(item_id), '[0-9]{1,18}') then trim(item_id)::bigint end as item_number,
        trim(movie_title) as title,
        trim(release_year) as year_text,
        list_filter(string_split(trim(genres), $genre_separator), lambda name: name not in ('', $no_genre)) as genres
    from block
),

judged as (
    select
        *,
        case when fault is null and coalesce(item_number, 0) = 0 then 'item' end as rejected_column
    from parsed
)

select
    line,
    item_number::varchar as item_external,
    nullif(trim(regexp_replace(title, $year_pattern, '')), '') as title,
    try_cast(
        nullif(
            case
                when regexp_full_match(year_text, '[0-9]{4}') then year_text
                else regexp_extract(title, $year_pattern, 1)
            end,
            ''
        ) as smallint
    ) as year,
    genres as categories,
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'not a positive whole number' end
        as reason,
    null::varchar as filter
from judged
