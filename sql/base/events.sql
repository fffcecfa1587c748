-- Grain: one row per accepted event of one bucket of users, with those that the touched partitions hold already.
-- Columns: user, session, item, behaviour, value, at, place (order in the source where there is no time), period.
with fresh as (
    select
        user_external,
        item_external,
        replace(replace(user_external, '\', '\\'), '/', '\/')
        || case when session_external = user_external then '' else '/' || session_external end as session_external,
        behaviour,
        value,
        moment,
        case when moment is null then (feed::bigint << 44) + (line << 16) + place end as place
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

sessions as (
    select
        external,
        id
    from vocabulary
    where kind = 'session'
)

select
    users.id as user,
    sessions.id::bigint as session,
    items.id as item,
    fresh.behaviour,
    fresh.value,
    fresh.moment as at,
    fresh.place,
    case $grain
        when 'day' then fresh.moment::date
        when 'month' then date_trunc('month', fresh.moment)::date
        when 'year' then date_trunc('year', fresh.moment)::date
        else case when fresh.moment is not null then date '1970-01-01' end
    end as period
from fresh
inner join users on fresh.user_external = users.external
inner join items on fresh.item_external = items.external
left join sessions on fresh.session_external = sessions.external
