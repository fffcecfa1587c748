-- Grain: one row per rating of a MovieLens file (u.data, ratings.dat, ratings.csv, .inter), the staged table events.
-- Columns: sql/staging/README.md. Ids are positive whole numbers, stars run in steps of $step, times are seconds.
with parsed as (
    select
        line,
        fault,
        case when regexp_full_match(trim(user_id), '[0-9]{1,18}') then trim(user_id)::bigint end as user_number,
        case when regexp_full_match(trim(item_id), '[0-9]{1,18}') then trim(item_id)::bigint end as item_number,
        try_cast(trim(rating) as double) as value,
        case
            when regexp_full_match(trim(timestamp), '-?[0-9]{1,18}([.]0*)?')
                then split_part(trim(timestamp), '.', 1)::bigint
        end as seconds
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(user_number, 0) = 0 then 'user'
            when coalesce(item_number, 0) = 0 then 'item'
            when
                value is null
                or isnan(value)
                or value not between $lowest and $highest
                or value / $step <> round(value / $step)
                then 'rating'
            when seconds is null or seconds not between $earliest and $latest then 'timestamp'
        end as rejected_column
    from parsed
)

select
    line,
    user_number::varchar as user_external,
    item_number::varchar as item_external,
    null::varchar as session_external,
    'rating' as behaviour,
    value,
    case when rejected_column is null then to_timestamp(seconds) end as moment,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column is null then null
        when rejected_column in ('user', 'item') then 'not a positive whole number'
        when rejected_column = 'rating' and (value is null or isnan(value)) then 'not a number'
        when
            rejected_column = 'rating' and value not between $lowest and $highest
            then format('outside {:g} to {:g}', $lowest::double, $highest::double)
        when rejected_column = 'rating' then format('not in steps of {:g} stars', $step::double)
        when seconds is null then 'not a whole number of seconds'
        when seconds < $earliest then 'before 1970'
        else 'after 2100: seconds are expected, not milliseconds'
    end as reason,
    null::varchar as filter
from judged
