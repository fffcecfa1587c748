-- Grain: one row per categorical feature of an item of Open Bandit's item_context.csv, the staged table triples.
-- Columns: sql/staging/README.md. The one number among the features, item_feature_0, is dropped by the filter `number`.
with parsed as (
    select
        line,
        fault,
        trim(item_id) as item_external,
        unnest(['item.feature_0', 'item.feature_1', 'item.feature_2', 'item.feature_3']) as relation,
        unnest([item_feature_0, item_feature_1, item_feature_2, item_feature_3]) as feature
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when not regexp_full_match(item_external, '[0-9]{1,9}') then 'item_id'
            when coalesce(trim(feature), '') = '' then relation
        end as rejected_column
    from parsed
)

select
    line,
    'item' as head_kind,
    item_external as head_external,
    relation,
    'entity' as tail_kind,
    'feature:' || trim(feature) as tail_external,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'item_id' then 'not a whole number'
        when rejected_column is not null then 'empty'
    end as reason,
    case when fault is null and rejected_column is null and relation = 'item.feature_0' then 'number' end as filter
from judged
