-- Grain: one row per shown item of an Open Bandit log, the staged table slates. It has no users and no requests: each
-- row is a request of its own, and a user is all that share the four user features.
-- Columns: sql/staging/README.md. Positions in the file run from 1. Propensities are kept to the last digit.
with parsed as (
    select
        *,
        try_cast(timestamp as timestamptz) as told,
        case when regexp_full_match(trim(position), '[1-3]') then trim(position)::smallint end as place_shown,
        try_cast(click as double) as reward,
        try_cast(propensity_score as double) as propensity
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when trim(row_index) = '' then ''
            when told is null or not isfinite(told) or epoch(told) not between $earliest and $latest then 'timestamp'
            when not regexp_full_match(trim(item_id), '[0-9]{1,9}') then 'item_id'
            when place_shown is null then 'position'
            when reward is null or reward not in (0, 1) then 'click'
            when propensity is null or not (propensity > 0 and propensity <= 1) then 'propensity_score'
            when trim(user_feature_0) = '' then 'user_feature_0'
            when trim(user_feature_1) = '' then 'user_feature_1'
            when trim(user_feature_2) = '' then 'user_feature_2'
            when trim(user_feature_3) = '' then 'user_feature_3'
        end as rejected_column
    from parsed
)

select
    line,
    $policy || '-' || $campaign || '-' || trim(row_index) as request_external,
    concat_ws('-', trim(user_feature_0), trim(user_feature_1), trim(user_feature_2), trim(user_feature_3))
        as user_external,
    case when rejected_column is null then told end as moment,
    (place_shown - 1)::smallint as position,
    trim(item_id) as item_external,
    reward,
    propensity,
    'item_position' as propensity_kind,
    $policy as logging_policy,
    $campaign as logging_policy_version,
    null::varchar[] as candidates,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column = 'timestamp' and (told is null or not isfinite(told)) then 'not a time'
        when rejected_column = 'timestamp' then 'not between 1970 and 2100'
        when rejected_column = 'item_id' then 'not a whole number'
        when rejected_column = 'position' then 'not 1, 2 or 3'
        when rejected_column = 'click' then 'neither 0 nor 1'
        when rejected_column = 'propensity_score' then 'not in (0, 1]'
        else 'empty'
    end as reason,
    null::varchar as filter
from judged
