-- Grain: one row per feature of an item (Open Bandit's item_context.csv), the staged table triples; one per bad record.
-- Columns: sql/staging/README.md. The one number among the features, item_feature_0, is dropped by the filter `number`.
with parsed as (
    select
        line,
        fault,
        trim(item_id) as item_external,
        ['item_feature_0', 'item_feature_1', 'item_feature_2', 'item_feature_3'] as names,
        [trim(item_feature_0), trim(item_feature_1), trim(item_feature_2), trim(item_feature_3)] as features
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when not regexp_full_match(item_external, '[0-9]{1,9}') then 'item_id'
            else names[list_position(features, '')]
        end as rejected_column
    from parsed
),

told as (
    select
        line,
        fault,
        item_external,
        rejected_column,
        unnest(case when fault is null and rejected_column is null then names else names[:1] end) as name,
        unnest(case when fault is null and rejected_column is null then features else [null] end) as feature
    from judged
)

select
    line,
    'item' as head_kind,
    item_external as head_external,
    'item.' || name[6:] as relation,
    'entity' as tail_kind,
    'feature:' || feature as tail_external,
    null::timestamptz as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'item_id' then 'not a whole number'
        when rejected_column is not null then 'empty'
    end as reason,
    case when fault is null and rejected_column is null and name = 'item_feature_0' then 'number' end as filter
from told
