-- Grain: one row per item of a line `user item item ...`, the staged table events; a user without items gives one row,
-- dropped by the filter `no items`.
-- Columns: sql/staging/README.md, and `place`, the item's in the line. What happened is $behaviour, whenever it did.
-- Ids are written like $id_pattern, so that a file with another separator is not taken for users without items.
with parsed as (
    select
        line,
        fault,
        list_filter(string_split_regex(trim(raw), $separator), lambda part: part <> '') as parts
    from block
),

known as (
    select
        *,
        coalesce(regexp_full_match(parts[1], $id_pattern), false) as has_user
    from parsed
),

told as (
    select
        line,
        fault,
        has_user,
        parts[1] as user_external,
        unnest(case when has_user and len(parts) > 1 then parts[2:] else [null] end) as item_external,
        unnest(range(case when has_user then greatest(len(parts) - 1, 1) else 1 end))::integer as place
    from known
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when not has_user then 'user'
            when not regexp_full_match(item_external, $id_pattern) then 'item'
        end as rejected_column
    from told
)

select
    line,
    user_external,
    item_external,
    null::varchar as session_external,
    $behaviour as behaviour,
    null::double as value,
    null::timestamptz as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is not null then 'not an id like those of this source'
    end as reason,
    case when fault is null and has_user and item_external is null then 'no items' end as filter,
    place
from judged
