-- Grain: one row per film that a ReDial dialogue mentions, the staged table items; a dialogue without any gives one
-- row, dropped by the filter `no films`.
-- Columns: sql/staging/README.md. The year stands in brackets at the end of the title. An empty list means no films.
with parsed as (
    select
        line,
        fault,
        case when fault is null and json_valid(raw) then json_extract(raw, '$.movieMentions') end as mentions
    from block
),

listed as (
    select
        line,
        fault,
        mentions,
        case when json_type(mentions) = 'OBJECT' then from_json(mentions, '"MAP(VARCHAR, VARCHAR)"') end as films
    from parsed
),

told as (
    select
        line,
        case
            when fault is not null then fault
            when films is null and coalesce(mentions <> '[]', true)
                then 'movieMentions is no object, or names an id twice'
        end as fault,
        unnest(case when len(map_keys(films)) > 0 then map_keys(films) else [null] end) as item,
        unnest(case when len(map_keys(films)) > 0 then map_values(films) else [null] end) as title
    from listed
),

judged as (
    select
        line,
        fault,
        trim(item) as item,
        title,
        case when not regexp_full_match(trim(item), '[0-9]{1,18}') then 'movieMentions' end as rejected_column
    from told
)

select
    line,
    item as item_external,
    nullif(trim(regexp_replace(title, $year_pattern, '')), '') as title,
    try_cast(nullif(regexp_extract(title, $year_pattern, 1), '') as smallint) as year,
    []::varchar[] as categories,
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'an id is not a whole number' end
        as reason,
    case when fault is null and item is null then 'no films' end as filter
from judged
