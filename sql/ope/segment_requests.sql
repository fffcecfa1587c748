-- Grain: one row per part of the log and shard of users.
-- Columns: segment, shard, requests, several_segments (requests that must not exist)
with logged as (
    select
        rows_of_all.request,
        rows_of_all.segment,
        rows_of_all.shard
    from shown as rows_of_all
),

requests as (
    select
        min(segment) as segment,
        min(shard) as shard,
        min(segment) <> max(segment) as several
    from logged
    group by request
)

select
    segment,
    shard,
    count(*) as requests,
    count_if(several) as several_segments
from requests
group by all
