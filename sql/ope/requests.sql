-- Grain: one row per shard of users.
-- Columns: shard, requests, several_users and repeated_positions (requests that must not exist)
with logged as (
    select
        rows_of_all.request,
        rows_of_all.position,
        case
            when typeof(rows_of_all.user) = 'VARCHAR'
                then (md5_number_lower(rows_of_all.user::varchar) % 2147483647)::bigint
            else try_cast(rows_of_all.user as bigint)
        end as user_number
    from feedback as rows_of_all
    where coalesce(rows_of_all.target_policy, 'target') = $target_policy
),

requests as (
    select
        request,
        min(user_number) as user_number,
        min(user_number) <> max(user_number) as several_users,
        count(*) <> count(distinct position) as repeated_position
    from logged
    group by request
)

select
    ((xor(user_number, user_number >> 31) & 2147483647) * 2654435761 % 4294967296 * $shards) >> 32 as shard,
    count(*) as requests,
    count_if(several_users) as several_users,
    count_if(repeated_position) as repeated_positions
from requests
group by all
