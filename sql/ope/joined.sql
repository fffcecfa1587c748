-- Grain: one row per event of the log and row of one target policy for it; without one, its columns are null.
-- Columns: event, request, user, position, reward, propensity, target_policy, target_probability, q_hat, q_hat_target,
-- propensity_kind, propensity_source, segment
with logged as (
    select * from log
),

wanted as (
    select * from targets
    where coalesce(target_policy, 'target') = $target_policy
)

select
    logged.event,
    logged.request,
    logged.user,
    logged.position,
    logged.reward,
    logged.propensity,
    $target_policy as target_policy,
    wanted.target_probability,
    wanted.q_hat,
    wanted.q_hat_target,
    logged.propensity_kind,
    logged.propensity_source,
    logged.segment
from logged
left join wanted on logged.event = wanted.event
