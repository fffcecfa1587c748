-- Grain: one row per hotel of the list that a clickout was made from, the staged table slates: reward 1 where the click
-- went. Other actions are dropped by `no clickout`, clicks on a hotel outside the list by `click outside the list`.
-- Columns: sql/staging/README.md. The log has no propensities.
with parsed as (
    select
        *,
        try_cast("timestamp" as bigint) as seconds,
        case when trim(action_type) = 'clickout item' then string_split(trim(impressions), '|') end as shown
    from block
),

told as (
    select
        line,
        fault,
        user_id,
        session_id,
        step,
        seconds,
        trim(reference) as clicked,
        shown,
        action_type,
        unnest(coalesce(shown, [null])) as item_external,
        unnest(range(len(coalesce(shown, [null])))) as place
    from parsed
),

judged as (
    select
        *,
        case
            when fault is not null or shown is null then null
            when trim(user_id) = '' then 'user_id'
            when trim(session_id) = '' then 'session_id'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
            when not regexp_full_match(item_external, '[0-9]{1,18}') then 'impressions'
        end as rejected_column
    from told
)

select
    line,
    trim(session_id) || '-' || trim(step) as request_external,
    trim(user_id) as user_external,
    case when rejected_column is null and fault is null then to_timestamp(seconds) end as moment,
    place::smallint as position,
    item_external,
    (item_external = clicked)::integer::double as reward,
    null::double as propensity,
    null::varchar as propensity_kind,
    'trivago' as logging_policy,
    '2018-11' as logging_policy_version,
    null::varchar[] as candidates,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column in ('user_id', 'session_id') then 'empty'
        when rejected_column = 'timestamp' then 'not a plausible number of seconds'
        when rejected_column = 'impressions' then 'not a list of item numbers'
    end as reason,
    case
        when fault is not null or rejected_column is not null then null
        when shown is null then 'no clickout'
        when not list_contains(shown, clicked) then 'click outside the list'
    end as filter
from judged
