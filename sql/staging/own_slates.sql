-- Grain: one row per shown item of somebody's own log of slates, the staged table slates.
-- Columns: sql/staging/README.md. Reads sql/staging/own_typed.sql as `block`. A list is one of the file's own, or
-- text separated by $list_separator. The reward is the column's, or $weights of behaviours, or value >= $threshold.
with listed as (
    select
        *,
        case
            when $candidates_given and json_type(to_json(candidates_raw)) = 'ARRAY'
                then from_json(to_json(candidates_raw), '["VARCHAR"]')
            when $candidates_given and starts_with(trim(candidates_raw::varchar, $blanks), '[')
                then try_cast(candidates_raw::varchar as json)::varchar[]
            when $candidates_given and trim(candidates_raw::varchar, $blanks) <> ''
                then string_split(candidates_raw::varchar, $list_separator)
        end as candidates_listed,
        case
            when $propensities_given and json_type(to_json(propensities_raw)) = 'ARRAY'
                then from_json(to_json(propensities_raw), '["VARCHAR"]')
            when $propensities_given and starts_with(trim(propensities_raw::varchar, $blanks), '[')
                then try_cast(propensities_raw::varchar as json)::varchar[]
            when $propensities_given and trim(propensities_raw::varchar, $blanks) <> ''
                then string_split(propensities_raw::varchar, $list_separator)
        end as propensities_listed
    from block
),

measured as (
    select
        * replace (
            case
                when $reward_by = 'weight'
                    then coalesce(($weights::double[])[list_position($weighted_behaviours, behaviour)], 0)
                when $reward_by = 'threshold' and isfinite(value) then (value >= $threshold)::integer::double
                when $reward_by = 'column' then reward
            end as reward
        ),
        list_transform(candidates_listed, lambda each: trim(each, $blanks)) as candidates,
        list_transform(propensities_listed, lambda each: try_cast(trim(each, $blanks) as double)) as propensities,
        case when $placed then try_cast(position_text as double) - $first_position else 0 end as place
    from listed
),

checked as (
    select
        *,
        coalesce(
            len(propensities) = coalesce(len(candidates), len(propensities))
            and len(list_filter(propensities, lambda each: each >= 0 and each <= 1)) = len(propensities)
            and abs(list_sum(propensities) - 1) <= 1e-6,
            false
        ) as is_distribution
    from measured
),

judged as (
    select
        *,
        $others = 'drop' and $behaved and fault is null and behaviour is null as dropped,
        case
            when fault is not null then null
            when $behaved and behaviour is null and $others = 'drop' then null
            when $behaved and behaviour is null then 'behaviour'
            when request_external = '' then 'request'
            when user_external = '' then 'user'
            when item_external = '' then 'item'
            when time_fault is not null then 'time'
            when place is null or place not between 0 and 32767 or place <> floor(place) then 'position'
            when reward is null or not isfinite(reward) then $rewarding_role
            when propensity_text <> '' and (propensity is null or not (propensity > 0 and propensity <= 1))
                then 'propensity'
            when $candidates_given and (candidates is null or list_contains(candidates, '')) then 'candidates'
            when $candidates_given and not list_contains(candidates, item_external) then 'candidates'
            when $propensities_given and not is_distribution then 'propensities'
        end as rejected_role
    from checked
)

select
    line,
    request_external,
    user_external,
    moment,
    case when rejected_role is null and not dropped and fault is null then place::smallint end as position,
    item_external,
    reward,
    propensity,
    case when propensity is not null then $propensity_kind end as propensity_kind,
    coalesce(logging_policy, $logging_policy) as logging_policy,
    coalesce(logging_policy_version, $logging_policy_version) as logging_policy_version,
    candidates,
    $columns[list_position($roles, rejected_role)] as rejected_column,
    case
        when fault is not null then fault
        when rejected_role is null then null
        when rejected_role = 'time' then time_fault
        when rejected_role = 'behaviour' and behaviour_text <> '' then 'not among the listed behaviours'
        when rejected_role = 'position' and position_text <> ''
            then format('not a whole number from {} on', $first_position)
        when rejected_role = 'propensity' then 'not in (0, 1]'
        when rejected_role in ('reward', 'value') and (reward_text <> '' or value_text <> '') then 'not a finite number'
        when rejected_role = 'candidates' and (candidates is null or list_contains(candidates, '')) then 'empty'
        when rejected_role = 'candidates' then 'the shown item is not among them'
        when rejected_role = 'propensities' and propensities is null then 'empty'
        when rejected_role = 'propensities' and len(propensities) <> len(candidates) then 'not as many as candidates'
        when rejected_role = 'propensities' and abs(list_sum(propensities) - 1) > 1e-6 then 'they do not sum to 1'
        when rejected_role = 'propensities' then 'not all in [0, 1]'
        else 'empty'
    end as reason,
    case when dropped then 'behaviour not listed' end as filter
from judged
