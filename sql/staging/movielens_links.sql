-- Grain: one row per item and authority of links.csv, the staged table identifiers: imdb and tmdb as written.
-- Columns: sql/staging/README.md. An item without a tmdb id is dropped by the filter `no tmdb id`.
with parsed as (
    select
        line,
        fault,
        case when regexp_full_match(trim(item_id), '[0-9]{1,18}') then trim(item_id)::bigint end as item_number,
        unnest(['imdb', 'tmdb']) as authority,
        unnest([trim(imdb_id), trim(tmdb_id)]) as identifier
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(item_number, 0) = 0 then 'item'
            when identifier <> '' and not regexp_full_match(identifier, '[0-9]{1,12}') then authority || 'Id'
        end as rejected_column
    from parsed
)

select
    line,
    item_number::varchar as item_external,
    authority,
    identifier,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'item' then 'not a positive whole number'
        when rejected_column is not null then 'not a whole number'
    end as reason,
    case when fault is null and rejected_column is null and identifier = '' then format('no {} id', authority) end
        as filter
from judged
