-- Grain: one row per number in a line of a PGPR relation file, the staged table triples: line n is about head n - 1,
-- an empty line is about a head without such tails.
-- Columns: sql/staging/README.md. Kinds other than item and user are entities, named after their kind: `brand:8`.
with parsed as (
    select
        line,
        fault,
        unnest(
            case
                when fault is null then list_filter(string_split(trim(raw), ' '), lambda part: part <> '')
                else [null]
            end
        ) as tail
    from block
),

judged as (
    select
        *,
        case when fault is null and not regexp_full_match(tail, '[0-9]{1,9}') then $tail_name end as rejected_column
    from parsed
)

select
    line,
    'item' as head_kind,
    (line - 1)::varchar as head_external,
    $relation as relation,
    case when $tail_name = 'product' then 'item' else 'entity' end as tail_kind,
    case when $tail_name = 'product' then tail else $tail_name || ':' || tail end as tail_external,
    null::timestamptz as moment,
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'not a whole number' end as reason,
    null::varchar as filter
from judged
