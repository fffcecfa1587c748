-- Grain: one row per shard of users, position and bucket of weights that has rows: the cells of rlrec.ope.statistics.
-- Columns: shard, position, bucket, rows, the sums of that module, max_weight, least and greatest (prediction), and
-- counts of rows: unfit, predicted, estimated (propensities of a model), whole (propensities of whole slates)
with logged as (
    select
        rows_of_all.position,
        rows_of_all.user_number,
        rows_of_all.shard,
        rows_of_all.reward::double as reward,
        rows_of_all.propensity::double as propensity,
        rows_of_all.target_probability::double as target_probability,
        rows_of_all.q_hat::double as q_hat,
        rows_of_all.q_hat_target::double as q_hat_target,
        rows_of_all.event is null or rows_of_all.request is null as nameless,
        coalesce(rows_of_all.propensity_source = 'estimated', false) as estimated,
        coalesce(rows_of_all.propensity_kind in ('slate', 'cascade'), false) as whole
    from shown as rows_of_all
),

weighed as (
    select
        position,
        shard,
        reward,
        coalesce(q_hat_target, 0) as direct,
        coalesce(q_hat, 0) as prediction,
        target_probability / propensity as weight,
        coalesce(isfinite(q_hat) and isfinite(q_hat_target), false) as predicted,
        estimated,
        whole,
        not coalesce(
            not nameless
            and position is not null
            and user_number is not null
            and isfinite(reward)
            and reward between $reward_min and $reward_max
            and propensity > 0
            and propensity <= 1
            and target_probability between 0 and 1,
            false
        ) as unfit
    from logged
),

placed as (
    select
        *,
        case
            when not weight > 0 then 0
            else greatest(1, least($buckets - 1, floor($per_octave * (log2(weight) - $first_octave)) + 2))
        end::integer as bucket
    from weighed
)

select
    shard,
    position,
    bucket,
    count(*) as rows,
    fsum(weight) as weight,
    fsum(weight * weight) as weight_squared,
    fsum(reward) as reward,
    fsum(weight * reward) as weighted_reward,
    fsum(direct) as direct,
    fsum(prediction) as prediction,
    fsum(weight * prediction) as weighted_prediction,
    max(weight) as max_weight,
    min(prediction) as least,
    max(prediction) as greatest,
    count_if(unfit) as unfit,
    count_if(predicted) as predicted,
    count_if(estimated) as estimated,
    count_if(whole) as whole
from placed
group by all
