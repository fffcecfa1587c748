-- Grain: one row per line of a PGPR name file, the staged table identifiers: line n names item n - 1.
-- Columns: sql/staging/README.md. The authority that names is $authority.
select
    line,
    (line - 1)::varchar as item_external,
    $authority as authority,
    trim(raw) as identifier,
    case when fault is null and trim(raw) = '' then 'name' end as rejected_column,
    case when fault is not null then fault when trim(raw) = '' then 'empty' end as reason,
    null::varchar as filter
from block
