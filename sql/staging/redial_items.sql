-- Grain: one row per film that a ReDial dialogue mentions, the staged table items; a dialogue without any is dropped by
-- the filter `no films`.
-- Columns: sql/staging/README.md. The year stands in brackets at the end of the title.
with parsed as (
    select
        line,
        case when fault is not null then fault when not json_valid(raw) then 'not valid JSON' end as fault,
        raw
    from block
),

told as (
    select
        line,
        fault,
        case when fault is null then json_extract(raw, '$.movieMentions') end as films,
        unnest(
            case
                when fault is null and json_type(raw, '$.movieMentions') = 'OBJECT' and raw not like '%"movieMentions": {}%'
                    then json_keys(raw, '$.movieMentions')
                else [null]
            end
        ) as item
    from parsed
)

select
    line,
    item as item_external,
    nullif(
        trim(regexp_replace(json_extract_string(films, '/' || item), $year_pattern, '')), ''
    ) as title,
    try_cast(nullif(regexp_extract(json_extract_string(films, '/' || item), $year_pattern, 1), '') as smallint) as year,
    []::varchar[] as categories,
    null::varchar as rejected_column,
    fault as reason,
    case when fault is null and item is null then 'no films' end as filter
from told
