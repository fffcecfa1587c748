-- Grain: one row per film that an utterance of INSPIRED names, the staged table items; an utterance without any gives
-- one row, dropped by the filter `no films`. Utterances themselves are judged by inspired_dialogues.sql.
-- Columns: sql/staging/README.md. A film is called by its title, with the year in brackets at its end.
with parsed as (
    select
        line,
        fault,
        list_filter(
            list_transform(string_split(movies, $separator), lambda name: trim(name)), lambda name: name <> ''
        ) as films
    from block
),

told as (
    select
        line,
        fault,
        unnest(case when len(films) > 0 then films else [null] end) as film
    from parsed
)

select
    line,
    film as item_external,
    nullif(trim(regexp_replace(film, $year_pattern, '')), '') as title,
    try_cast(nullif(regexp_extract(film, $year_pattern, 1), '') as smallint) as year,
    []::varchar[] as categories,
    null::varchar as rejected_column,
    fault as reason,
    case when fault is null and film is null then 'no films' end as filter
from told
