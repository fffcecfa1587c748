-- Grain: one row per user that no earlier ingestion knows, to be added to the table VOCABULARY.
-- Columns: kind, external, id (goes on after the known ones), bucket. In the order of their numbers, then of their
-- text.
with named as (
    select
        external,
        bucket
    from read_parquet($names)
),

mentioned as (
    select
        unnest([head_external, tail_external]) as external,
        unnest([head_kind, tail_kind]) as kind
    from read_parquet($triples)
),

users as (
    select
        external,
        any_value(bucket) as bucket
    from named
    group by external
    union all
    select distinct
        mentioned.external,
        null::smallint as bucket
    from mentioned
    anti join named on mentioned.external = named.external
    where mentioned.kind = 'user'
),

known as (
    select external from read_parquet($known)
    where kind = 'user'
)

select
    'user' as kind,
    users.external,
    (
        $last
        + row_number() over (
            order by
                case when regexp_full_match(users.external, '[0-9]{1,18}') then users.external::bigint end nulls last,
                users.external
        )
    )::integer as id,
    users.bucket
from users
anti join known on users.external = known.external
order by id
