-- Grain: one row per tag that somebody gave an item (tags.csv, tags.dat), the staged table triples: item.tag.
-- Columns: sql/staging/README.md. Tags that differ in case or blanks around them are one.
with parsed as (
    select
        line,
        fault,
        trim(item_id) as item,
        lower(trim(tag)) as tag
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when not regexp_full_match(item, '[0-9]{1,18}') then 'movieId'
            when tag = '' then 'tag'
        end as rejected_column
    from parsed
)

select
    line,
    'item' as head_kind,
    item as head_external,
    'item.tag' as relation,
    'entity' as tail_kind,
    'tag:' || tag as tail_external,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'tag' then 'empty'
        when rejected_column is not null then 'not a whole number'
    end as reason,
    null::varchar as filter
from judged
