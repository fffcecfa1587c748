-- Grain: one row per item and authority of i2kg_map.txt, the staged table identifiers: what MovieLens and DBpedia call
-- an item that the file numbers as an entity.
-- Columns: sql/staging/README.md.
with parsed as (
    select
        line,
        fault,
        trim(entity_id) as item,
        unnest(['movielens', 'dbpedia']) as authority,
        unnest([trim(movie_id), trim(uri)]) as identifier
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when not regexp_full_match(item, '[0-9]{1,18}') then 'eid'
            when authority = 'movielens' and not regexp_full_match(identifier, '[0-9]{1,18}') then 'pid'
            when identifier = '' then 'entity'
        end as rejected_column
    from parsed
)

select
    line,
    item as item_external,
    authority,
    identifier,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'entity' then 'empty'
        when rejected_column is not null then 'not a whole number'
    end as reason,
    null::varchar as filter
from judged
