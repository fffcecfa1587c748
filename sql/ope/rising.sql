-- Grain: one row per shard of users: the requests that begin in the order of the file, and what breaks that order.
-- Columns: shard, requests, chains (1 in all, where every row was compared to the one before), falls (rows whose event
-- does not rise, or whose request falls, or whose position does not rise within it, or whose user differs within it)
with logged as (
    select
        rows_of_all.event,
        rows_of_all.request,
        rows_of_all.position,
        rows_of_all.user_number,
        rows_of_all.shard
    from shown as rows_of_all
),

compared as (
    select
        *,
        lag(event) over () as event_before,
        lag(request) over () as request_before,
        lag(position) over () as position_before,
        lag(user_number) over () as user_before
    from logged
)

select
    shard,
    count_if(event_before is null or request <> request_before) as requests,
    count_if(event_before is null) as chains,
    count_if(
        event <= event_before
        or request < request_before
        or (request = request_before and (position <= position_before or user_number <> user_before))
    ) as falls
from compared
group by all
