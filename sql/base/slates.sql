-- Grain: one row per accepted row of logged slates of one bucket of users: a shown item, its reward and propensity.
-- Columns: user, request, position, item, reward, propensity, propensity_kind, logging_policy, logging_policy_version,
-- candidates (external), at, place (order in the source), period.
with fresh as (
    select
        *,
        replace(replace(user_external, '\', '\\'), '/', '\/')
        || case when request_external = user_external then '' else '/' || request_external end as own_request
    from read_parquet($staged, union_by_name = true)
    where bucket = $bucket and reason is null and filter is null
),

vocabulary as (
    select
        kind,
        external,
        id
    from read_parquet($vocabulary)
    where bucket is null or bucket = $bucket
),

users as (
    select
        external,
        id
    from vocabulary
    where kind = 'user'
),

items as (
    select
        external,
        id
    from vocabulary
    where kind = 'item'
),

requests as (
    select
        external,
        id
    from vocabulary
    where kind = 'request'
)

select
    users.id as user,
    requests.id::bigint as request,
    fresh.position,
    items.id as item,
    fresh.reward,
    fresh.propensity,
    fresh.propensity_kind,
    fresh.logging_policy,
    fresh.logging_policy_version,
    fresh.candidates,
    fresh.moment as at,
    (fresh.feed::bigint << 44) + (fresh.line << 16) + fresh.place as place,
    case $grain
        when 'day' then fresh.moment::date
        when 'month' then date_trunc('month', fresh.moment)::date
        when 'year' then date_trunc('year', fresh.moment)::date
        else case when fresh.moment is not null then date '1970-01-01' end
    end as period
from fresh
inner join users on fresh.user_external = users.external
inner join items on fresh.item_external = items.external
inner join requests on fresh.own_request = requests.external
