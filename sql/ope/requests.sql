-- Grain: one row per shard of users.
-- Columns: shard, requests, several_users and repeated_positions (requests that must not exist)
with logged as (
    select
        rows_of_all.request,
        rows_of_all.position,
        rows_of_all.user_number,
        rows_of_all.shard
    from shown as rows_of_all
),

requests as (
    select
        request,
        min(shard) as shard,
        min(user_number) <> max(user_number) as several_users,
        count(*) <> count(distinct position) as repeated_position
    from logged
    group by request
)

select
    shard,
    count(*) as requests,
    count_if(several_users) as several_users,
    count_if(repeated_position) as repeated_positions
from requests
group by all
