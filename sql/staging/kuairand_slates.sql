-- Grain: one row per video that KuaiRand put at random into somebody's feed, the staged table slates: each a request of
-- its own, reward 1 where it was clicked. A video that a policy chose is dropped by the filter `not random`.
-- Columns: sql/staging/README.md. The log does not give the probability, so there is none.
with parsed as (
    select
        *,
        case when regexp_full_match(trim(time_ms), '[0-9]{1,18}') then trim(time_ms)::bigint end as milliseconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when trim(user_id) = '' then 'user_id'
            when trim(video_id) = '' then 'video_id'
            when milliseconds is null or milliseconds // 1000 not between $earliest and $latest then 'time_ms'
            when trim(is_click) not in ('0', '1') then 'is_click'
            when trim(is_rand) not in ('0', '1') then 'is_rand'
        end as rejected_column
    from parsed
)

select
    line,
    concat_ws('-', trim(user_id), milliseconds, trim(video_id)) as request_external,
    trim(user_id) as user_external,
    case when fault is null and rejected_column is null then make_timestamptz(milliseconds * 1000) end as moment,
    0::smallint as position,
    trim(video_id) as item_external,
    try_cast(is_click as double) as reward,
    null::double as propensity,
    null::varchar as propensity_kind,
    'random' as logging_policy,
    'KuaiRand' as logging_policy_version,
    null::varchar[] as candidates,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column in ('user_id', 'video_id') then 'empty'
        when rejected_column <> 'time_ms' then 'neither 0 nor 1'
        when milliseconds is null then 'not a whole number'
        when milliseconds between $earliest and $latest then 'these look like seconds: multiply them by 1,000'
        else 'not between 2000 and 2100'
    end as reason,
    case when fault is null and rejected_column is null and trim(is_rand) = '0' then 'not random' end as filter
from judged
