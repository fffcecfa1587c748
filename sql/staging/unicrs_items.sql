-- Grain: one row per film that a dialogue of UniCRS's JSON lines names, the staged table items; a dialogue without any
-- gives one row, dropped by the filter `no films`. Utterances themselves are judged by unicrs_dialogues.sql.
-- Columns: sql/staging/README.md. A film is called by its title, with the year in brackets at its end.
with parsed as (
    select
        line,
        raw,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when json_type(raw) <> 'ARRAY' then 'not a list of utterances'
        end as fault
    from block
),

listed as (
    select
        line,
        fault,
        list_filter(
            case when fault is null then json_extract_string(raw, '$[*].movie[*]') end,
            lambda name: coalesce(trim(name), '') <> ''
        ) as films
    from parsed
),

told as (
    select
        line,
        fault,
        unnest(case when len(films) > 0 then films else [null] end) as film
    from listed
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
