-- Grain: one row per record of somebody's own log, typed but not judged.
-- Columns: line; fault; ids as text without blanks around them, empty for none; behaviour (null: not listed); value,
-- reward, propensity (null: none, or no number) and their texts; moment (null: none, or time_fault says why).
-- $clock is none, number, pattern or iso; $per_second: ticks in a second; a local time is one of $zone.
-- Reads columns without blanks around them: sql/staging/own_trimmed.sql.
with named as (
    select
        line,
        fault,
        coalesce(user_raw, '') as user_external,
        coalesce(item_raw, '') as item_external,
        nullif(session_raw, '') as session_external,
        coalesce(request_raw, '') as request_external,
        coalesce(behaviour_raw, '') as behaviour_text,
        coalesce(value_raw, '') as value_text,
        coalesce(position_raw, '') as position_text,
        coalesce(propensity_raw, '') as propensity_text,
        lower(coalesce(reward_raw, '')) as reward_text,
        nullif(logging_policy_raw, '') as logging_policy,
        nullif(logging_policy_version_raw, '') as logging_policy_version,
        candidates_raw,
        propensities_raw,
        coalesce(time_raw, '') as time_text
    from block
),

read as (
    select
        *,
        case
            when $behaviour <> '' then $behaviour
            else $behaviours[list_position($behaviour_values, behaviour_text)]
        end as behaviour,
        try_cast(nullif(value_text, '') as double) as value,
        case reward_text when 'true' then 1 when 'false' then 0 else try_cast(nullif(reward_text, '') as double) end
            as reward,
        try_cast(nullif(propensity_text, '') as double) as propensity,
        case when $clock = 'number' then try_cast(time_text as double) end as ticks,
        case
            when $clock = 'pattern' then try_strptime(time_text, $pattern)::timestamptz
            when
                $clock = 'iso'
                and regexp_full_match(
                    time_text,
                    '[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?'
                    || '( ?UTC|Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?'
                )
                then try_cast(time_text as timestamptz)
        end as stamp,
        case
            when $clock = 'iso' then regexp_matches(time_text, ':[0-9.]+( ?UTC|Z|[+-][0-9:]+)$')
            else $zoned
        end as zoned
    from named
),

placed as (
    select
        *,
        stamp::timestamp as wall,
        case when $zone <> 'UTC' and not zoned then timezone($zone, stamp::timestamp) end as later
    from read
),

zoned as (
    select
        *,
        (wall - (timezone($zone, later - interval 1 day) - (later - interval 1 day)::timestamp))::timestamptz as earlier
    from placed
),

timed as (
    select
        *,
        case
            when
                $clock = 'number' and ticks between $earliest::double * $per_second and $latest::double * $per_second
                then
                    make_timestamptz(
                        case
                            when $per_second <= 1000000 and ticks = trunc(ticks) and ticks < 1e15
                                then ticks::bigint * (1000000 // $per_second)
                            when not regexp_full_match(time_text, '[0-9]{1,19}')
                                then round(ticks / $per_second * 1000000)::bigint
                            when $per_second > 1000000 then time_text::bigint // ($per_second // 1000000)
                            else time_text::bigint * (1000000 // $per_second)
                        end
                    )
            when later is null then stamp
            when timezone($zone, earlier) = wall then least(earlier, later)
            when timezone($zone, later) = wall then later
        end as told
    from zoned
)

select
    * exclude (stamp, wall, zoned, later, earlier, ticks, told),
    case when epoch(told) between $earliest and $latest then told end as moment,
    case
        when $clock = 'none' or epoch(told) between $earliest and $latest then null
        when time_text = '' then 'empty'
        when $clock = 'number' and (ticks is null or not isfinite(ticks)) then 'not a number'
        when $clock = 'iso' and stamp is null then 'not a time such as 2024-03-31T10:00:00+02:00'
        when $clock = 'pattern' and stamp is null then 'not a time as ' || $pattern || ' describes it'
        when later is not null and told is null then 'does not exist in ' || $zone || ': clocks are put forward then'
        when ticks between $earliest and $latest then 'these look like seconds: let unit be "s"'
        when ticks / 1000 between $earliest and $latest then 'these look like milliseconds: let unit be "ms"'
        when ticks / 1000000 between $earliest and $latest then 'these look like microseconds: let unit be "us"'
        when ticks / 1000000000 between $earliest and $latest then 'these look like nanoseconds: let unit be "ns"'
        else
            format(
                'outside {} to {}',
                strftime(make_timestamp($earliest::bigint * 1000000), '%Y-%m-%d'),
                strftime(make_timestamp($latest::bigint * 1000000), '%Y-%m-%d')
            )
    end as time_fault
from timed
