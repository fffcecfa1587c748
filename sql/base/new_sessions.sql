-- Grain: one row per session (or request, $kind) that no earlier ingestion knows, to be added to the table VOCABULARY.
-- Columns: kind, external, id (goes on after the known ones), bucket. A session is one user's: its name starts with the
-- user's (with \ before / and \, so that no two are alike), unless it is the same: logs number sessions per user.
with named as (
    select
        replace(replace(user_external, '\', '\\'), '/', '\/')
        || case when own_external = user_external then '' else '/' || own_external end as external,
        bucket
    from (
        select
            user_external,
            bucket,
            case when $kind = 'session' then session_external else request_external end as own_external
        from read_parquet($staged, union_by_name = true)
        where reason is null and filter is null
    ) as rows_of_kind
    where own_external is not null
),

sessions as (
    select
        external,
        any_value(bucket) as bucket
    from named
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
