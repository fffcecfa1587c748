-- Grain: one row per part of the log, shard of users and position (0 where each row is a request of its own).
-- Columns: segment, shard, position, rows, the sums of rlrec.ope.statistics
with weighed as (
    select
        rows_of_all.segment,
        rows_of_all.shard,
        case when $by_row then 0 else rows_of_all.position end as position,
        rows_of_all.reward::double as reward,
        coalesce(rows_of_all.q_hat_target::double, 0) as direct,
        coalesce(rows_of_all.q_hat::double, 0) as prediction,
        rows_of_all.target_probability::double / rows_of_all.propensity::double as weight
    from shown as rows_of_all
)

select
    segment,
    shard,
    position,
    count(*) as rows,
    fsum(weight) as weight,
    fsum(weight * weight) as weight_squared,
    fsum(reward) as reward,
    fsum(weight * reward) as weighted_reward,
    fsum(direct) as direct,
    fsum(prediction) as prediction,
    fsum(weight * prediction) as weighted_prediction
from weighed
group by all
