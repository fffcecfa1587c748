-- Grain: one row per hotel of the list that a clickout was made from, the staged table slates: reward 1 where the click
-- went. A list of which a part is unusable is rejected as a whole, in one row; in one row are dropped other actions
-- (filter `no clickout`) and clicks that are withheld (`click withheld`) or went elsewhere (`click outside the list`).
-- Columns: sql/staging/README.md. The log has no propensities.
with parsed as (
    select
        line,
        fault,
        trim(user_id) as user_text,
        trim(session_id) as session_text,
        trim(step) as step,
        trim(reference) as clicked,
        trim(action_type) as action,
        string_split(trim(impressions), '|') as shown,
        case when regexp_full_match(trim(timestamp), '-?[0-9]{1,18}') then trim(timestamp)::bigint end as seconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null or action <> 'clickout item' then null
            when user_text = '' then 'user_id'
            when session_text = '' then 'session_id'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
            when not regexp_full_match(step, '[0-9]{1,9}') then 'step'
            when
                len(shown) > $longest
                or len(list_filter(shown, lambda item: regexp_full_match(item, '[0-9]{1,18}'))) < len(shown)
                then 'impressions'
        end as rejected_column
    from parsed
),

filtered as (
    select
        *,
        case
            when fault is not null or rejected_column is not null then null
            when action <> 'clickout item' then 'no clickout'
            when clicked = '' then 'click withheld'
            when not list_contains(shown, clicked) then 'click outside the list'
        end as filter
    from judged
),

told as (
    select
        *,
        unnest(
            case
                when fault is null and rejected_column is null and filter is null then range(len(shown))
                else [null::bigint]
            end
        ) as place
    from filtered
)

select
    line,
    session_text || '-' || step as request_external,
    user_text as user_external,
    case when place is not null then to_timestamp(seconds) end as moment,
    place::smallint as position,
    shown[place + 1] as item_external,
    (place + 1 = list_position(shown, clicked))::integer::double as reward,
    null::double as propensity,
    null::varchar as propensity_kind,
    'trivago' as logging_policy,
    '2018-11' as logging_policy_version,
    null::varchar[] as candidates,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column = 'step' then 'not a whole number'
        when rejected_column = 'impressions' and len(shown) > $longest then format('more than {} items', $longest)
        when rejected_column = 'impressions' then 'not a list of item numbers'
        when rejected_column <> 'timestamp' then 'empty'
        when seconds is null then 'not a whole number of seconds'
        when seconds < $earliest then 'before 1970'
        else 'after 2100: seconds are expected, not milliseconds'
    end as reason,
    filter
from told
