-- Bad rows: what makes rows of a log unfit, by code; asked once some are known to be.
-- Columns: code, column_name, rows, events (the first five), least and greatest (finite reward of all rows)
with judged as (
    select
        rows_of_all.event,
        case when isfinite(rows_of_all.reward::double) then rows_of_all.reward::double end as reward,
        [
            case when rows_of_all.event is null then 'OPE001 event' end,
            case when rows_of_all.request is null then 'OPE002 request' end,
            case when rows_of_all.user is null then 'OPE002 user' end,
            case when rows_of_all.position is null then 'OPE004 position' end,
            case
                when
                    not coalesce(
                        isfinite(rows_of_all.reward::double)
                        and rows_of_all.reward between $reward_min and $reward_max,
                        false
                    )
                    then 'OPE006 reward'
            end,
            case
                when not coalesce(rows_of_all.propensity > 0 and rows_of_all.propensity <= 1, false)
                    then 'OPE007 propensity'
            end,
            case when rows_of_all.target_probability is null then 'OPE020 target_probability' end,
            case
                when not rows_of_all.target_probability between 0 and 1 then 'OPE022 target_probability'
            end
        ] as codes
    from shown as rows_of_all
),

named as (
    select
        event,
        unnest(codes) as problem
    from judged
),

rewards as (
    select
        min(reward) as least,
        max(reward) as greatest
    from judged
)

select
    split_part(problem, ' ', 1) as code,
    split_part(problem, ' ', 2) as column_name,
    count(*) as rows,
    arg_min(event, event, 5) as events,
    any_value(rewards.least) as least,
    any_value(rewards.greatest) as greatest
from named
cross join rewards
where problem is not null
group by problem
order by problem
