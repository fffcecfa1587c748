-- Grain: one row per line of u.item of ML-100K, the staged table items: a 0/1 flag for each genre, in the order of
-- $genres.
-- Columns: sql/staging/README.md. The year stands in brackets at the end of the title.
with flagged as (
    select
        line,
        fault,
        case when regexp_full_match(trim(item_id), '[0-9]{1,18}') then trim(item_id)::bigint end as item_number,
        trim(movie_title) as title,
        [
            flag_0, flag_1, flag_2, flag_3, flag_4, flag_5, flag_6, flag_7, flag_8, flag_9,
            flag_10, flag_11, flag_12, flag_13, flag_14, flag_15, flag_16, flag_17, flag_18
        ] as flags
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(item_number, 0) = 0 then 'item'
            when len(list_filter(flags, lambda flag: flag not in ('0', '1'))) > 0 then 'genre'
        end as rejected_column
    from flagged
)

select
    line,
    item_number::varchar as item_external,
    nullif(trim(regexp_replace(title, $year_pattern, '')), '') as title,
    try_cast(nullif(regexp_extract(title, $year_pattern, 1), '') as smallint) as year,
    list_transform(
        list_filter(list_zip($genres, flags), lambda pair: pair[2] = '1'), lambda pair: pair[1]
    ) as categories,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'item' then 'not a positive whole number'
        when rejected_column = 'genre' then 'a genre flag is neither 0 nor 1'
    end as reason,
    null::varchar as filter
from judged
