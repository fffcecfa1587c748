-- Grain: one row per shown item of an Open Bandit log, the staged table slates. The log has no user and no request: each
-- row is a request of its own, and a user is all that share the four user features.
-- Columns: sql/staging/README.md. Positions in the file run from 1. Propensities are kept to the last digit.
with parsed as (
    select
        *,
        try_cast("timestamp" as timestamptz) as moment,
        try_cast(position as smallint) as place_shown,
        try_cast(click as double) as reward,
        try_cast(propensity_score as double) as propensity
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when moment is null then 'timestamp'
            when not regexp_full_match(trim(item_id), '[0-9]{1,9}') then 'item_id'
            when place_shown is null or place_shown not between 1 and 3 then 'position'
            when reward is null or reward not in (0, 1) then 'click'
            when propensity is null or not (propensity > 0 and propensity <= 1) then 'propensity_score'
        end as rejected_column
    from parsed
)

select
    line,
    $campaign || '-' || row_index as request_external,
    concat_ws('-', left(user_feature_0, 8), left(user_feature_1, 8), left(user_feature_2, 8), left(user_feature_3, 8))
        as user_external,
    moment,
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
        when rejected_column = 'timestamp' then 'not a time'
        when rejected_column = 'item_id' then 'not a whole number'
        when rejected_column = 'position' then 'not 1, 2 or 3'
        when rejected_column = 'click' then 'neither 0 nor 1'
        when rejected_column = 'propensity_score' then 'not in (0, 1]'
    end as reason,
    null::varchar as filter
from judged
