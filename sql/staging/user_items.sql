-- Grain: one row per item of a line `user item item ...`, the staged table events, and one for a user without items.
-- Columns: sql/staging/README.md, and `place`, the item's in the line. What happened is $behaviour, whenever it did.
with parsed as (
    select
        line,
        fault,
        list_filter(string_split_regex(trim(raw), $separator), lambda part: part <> '') as parts
    from block
),

told as (
    select
        line,
        fault,
        parts[1] as user_external,
        unnest(case when len(parts) > 1 then parts[2:] else [null] end) as item_external,
        unnest(range(greatest(len(parts) - 1, 1))) as place
    from parsed
)

select
    line,
    user_external,
    item_external,
    null::varchar as session_external,
    $behaviour as behaviour,
    null::double as value,
    null::timestamptz as moment,
    null::varchar as rejected_column,
    fault as reason,
    case when fault is null and item_external is null then 'no items' end as filter,
    place::integer as place
from told
