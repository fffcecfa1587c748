-- Grain: one row per entry of a record's list such as `[7, 12]` or `7`, the staged table triples: the head is related
-- to each of them; one row per bad record.
-- Columns: sql/staging/README.md. The file calls the columns $head_column and $tails_column. A record with an empty
-- list is dropped by the filter `empty list`.
with parsed as (
    select
        line,
        fault,
        trim(head) as head_external,
        starts_with(trim(tails), '[') = ends_with(trim(tails), ']') as closed,
        nullif(trim(regexp_extract(trim(tails), '^\[?(.*?)\]?$', 1)), '') as listed
    from block
),

split as (
    select
        *,
        coalesce(list_transform(string_split(listed, ','), lambda part: trim(part)), []) as parts
    from parsed
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when head_external = '' then $head_column
            when not closed or list_contains(parts, '') then $tails_column
        end as rejected_column
    from split
),

told as (
    select
        *,
        unnest(case when fault is null and rejected_column is null and listed is not null then parts else [null] end)
            as tail_external
    from judged
)

select
    line,
    $kind as head_kind,
    head_external,
    $relation_name as relation,
    $kind as tail_kind,
    tail_external,
    null::timestamptz as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when head_external = '' then 'empty'
        else 'not a list such as [7, 12]'
    end as reason,
    case when fault is null and rejected_column is null and listed is null then 'empty list' end as filter
from told
