-- Grain: one row per tag that somebody gave an item (tags.csv, tags.dat), the staged table triples: item.tag.
-- Columns: sql/staging/README.md. Tags that differ in case or blanks around them are one. Who gave a tag and when is
-- judged and not kept.
with parsed as (
    select
        line,
        fault,
        case when regexp_full_match(trim(user_id), '[0-9]{1,18}') then trim(user_id)::bigint end as user_number,
        case when regexp_full_match(trim(item_id), '[0-9]{1,18}') then trim(item_id)::bigint end as item_number,
        lower(trim(tag)) as tag,
        case when regexp_full_match(trim(timestamp), '-?[0-9]{1,18}') then trim(timestamp)::bigint end as seconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(user_number, 0) = 0 then 'user'
            when coalesce(item_number, 0) = 0 then 'item'
            when tag = '' then 'tag'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
        end as rejected_column
    from parsed
)

select
    line,
    'item' as head_kind,
    item_number::varchar as head_external,
    'item.tag' as relation,
    'entity' as tail_kind,
    'tag:' || tag as tail_external,
    null::timestamptz as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column in ('user', 'item') then 'not a positive whole number'
        when rejected_column = 'tag' then 'empty'
        when rejected_column is null then null
        when seconds is null then 'not a whole number of seconds'
        when seconds < $earliest then 'before 1970'
        else 'after 2100: seconds are expected, not milliseconds'
    end as reason,
    null::varchar as filter
from judged
