-- Grain: one row per session (or request, $kind) that no earlier ingestion knows, to be added to the table VOCABULARY.
-- Columns: kind, external, id (goes on after the known ones), bucket.
with sessions as (
    select
        external,
        any_value(bucket) as bucket
    from read_parquet($names)
    group by external
),

known as (
    select external from read_parquet($known)
    where kind = $kind
)

select
    $kind as kind,
    sessions.external,
    (
        $last
        + row_number() over (
            order by
                case
                    when regexp_full_match(sessions.external, '[0-9]{1,18}') then sessions.external::bigint
                end nulls last,
                sessions.external
        )
    )::integer as id,
    sessions.bucket
from sessions
anti join known on sessions.external = known.external
order by id
