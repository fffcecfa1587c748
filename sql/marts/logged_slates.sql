-- Grain: one row per shown item, the table LOGGED_SLATES. A propensity stands as logged, or is null and `missing`.
-- Rows are numbered in the order of time, request and position.
with ordered as (
    select
        base.*,
        dense_rank() over (order by base.candidates) as candidates_rank
    from read_parquet($base) as base
    order by base.at, base.request, base.position, base.place
)

select
    row_number() over () as event,
    ordered.request,
    ordered.user,
    ordered.at,
    ordered.position,
    ordered.item,
    ordered.reward,
    ordered.propensity,
    coalesce(ordered.propensity_kind, 'item_position') as propensity_kind,
    case when ordered.propensity is null then 'missing' else 'logged' end as propensity_source,
    coalesce(ordered.logging_policy, 'unknown') as logging_policy,
    coalesce(ordered.logging_policy_version, 'unknown') as logging_policy_version,
    case when ordered.candidates is not null then ordered.candidates_rank end as candidates_id
from ordered
