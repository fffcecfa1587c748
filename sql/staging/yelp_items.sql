-- Grain: one row per business of Yelp (yelp_academic_dataset_business.json), the staged table items.
-- Columns: sql/staging/README.md. Categories are one text, separated by commas, or null.
with parsed as (
    select
        line,
        fault,
        coalesce(json_type(try_cast(raw as json)) = 'OBJECT', false) as readable,
        try_cast(raw as json) as told
    from block
),

named as (
    select
        *,
        trim(coalesce(told ->> '$.business_id', '')) as item_external
    from parsed
)

select
    line,
    item_external,
    nullif(trim(told ->> '$.name'), '') as title,
    null::smallint as year,
    list_filter(
        list_transform(string_split(coalesce(told ->> '$.categories', ''), ','), lambda name: trim(name)),
        lambda name: name <> ''
    ) as categories,
    case when readable and item_external = '' then 'business_id' end as rejected_column,
    case
        when fault is not null then fault
        when not readable then 'not a JSON object'
        when item_external = '' then 'empty'
    end as reason,
    null::varchar as filter
from named
