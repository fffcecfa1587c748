-- Grain: one row per item that no earlier ingestion knows, to be added to the table VOCABULARY.
-- Columns: kind, external, id (goes on after the known ones), bucket (null). Items include those that no event
-- mentions, so that item ids do not depend on the events. In the order of their numbers, then of their text.
with named as (
    select external
    from read_parquet($names)
),

described as (
    select item_external as external
    from read_parquet($items)
),

mentioned as (
    select
        unnest([head_external, tail_external]) as external,
        unnest([head_kind, tail_kind]) as kind
    from read_parquet($triples)
),

talked as (
    select unnest(items) as external
    from read_parquet($dialogues)
),

items as (
    select external from named
    union
    select external from described
    union
    select external from mentioned
    where kind = 'item'
    union
    select external from talked
),

known as (
    select external from read_parquet($known)
    where kind = 'item'
)

select
    'item' as kind,
    items.external,
    (
        $last
        + row_number() over (
            order by
                case when regexp_full_match(items.external, '[0-9]{1,18}') then items.external::bigint end nulls last,
                items.external
        )
    )::integer as id,
    null::smallint as bucket
from items
anti join known on items.external = known.external
where items.external is not null
order by id
