-- Grain: one row per thing that a KuaiRand record says was done, the staged table events: it was viewed, and whatever
-- flag is 1; one row per bad record.
-- Columns: sql/staging/README.md. $labelled: the file has `label` in place of is_like and is_hate, 1 for liked.
with parsed as (
    select
        line,
        fault,
        trim(user_id) as user_external,
        trim(video_id) as item_external,
        case when regexp_full_match(trim(time_ms), '[0-9]{1,18}') then trim(time_ms)::bigint end as milliseconds,
        trim(is_click) as clicked,
        trim(case when $labelled then label else is_like end) as liked,
        trim(is_follow) as followed,
        trim(is_comment) as commented,
        trim(is_forward) as forwarded,
        trim(case when not $labelled then is_hate when trim(label) = '0' then '1' else '0' end) as hated,
        trim(long_view) as viewed_long
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when user_external = '' then 'user_id'
            when item_external = '' then 'video_id'
            when milliseconds is null or milliseconds // 1000 not between $earliest and $latest then 'time_ms'
            when clicked not in ('0', '1') then 'is_click'
            when liked not in ('0', '1') then case when $labelled then 'label' else 'is_like' end
            when followed not in ('0', '1') then 'is_follow'
            when commented not in ('0', '1') then 'is_comment'
            when forwarded not in ('0', '1') then 'is_forward'
            when hated not in ('0', '1') then 'is_hate'
            when viewed_long not in ('0', '1') then 'long_view'
        end as rejected_column
    from parsed
),

told as (
    select
        line,
        fault,
        user_external,
        item_external,
        milliseconds,
        rejected_column,
        unnest(
            case
                when fault is null and rejected_column is null
                    then
                        ['view']
                        || case clicked when '1' then ['click'] else [] end
                        || case liked when '1' then ['like'] else [] end
                        || case followed when '1' then ['follow'] else [] end
                        || case commented when '1' then ['comment'] else [] end
                        || case forwarded when '1' then ['forward'] else [] end
                        || case hated when '1' then ['hate'] else [] end
                        || case viewed_long when '1' then ['long_view'] else [] end
                else ['view']
            end
        ) as behaviour
    from judged
)

select
    line,
    user_external,
    item_external,
    null::varchar as session_external,
    behaviour,
    null::double as value,
    case when fault is null and rejected_column is null then make_timestamptz(milliseconds * 1000) end as moment,
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
    null::varchar as filter
from told
