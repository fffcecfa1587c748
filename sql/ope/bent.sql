-- Grain: one row per transform of weights, shard of users and position that has rows.
-- Columns: family, parameter, shard, position, and the BENT_SUMS of rlrec.ope.statistics
with transforms as (
    select
        unnest($families::varchar[]) as family,
        unnest($lambdas::double[]) as parameter
),

weighed as (
    select
        rows_of_all.shard,
        rows_of_all.position,
        rows_of_all.reward::double as reward,
        coalesce(rows_of_all.q_hat::double, 0) as prediction,
        rows_of_all.target_probability::double / rows_of_all.propensity::double as weight
    from shown as rows_of_all
),

bent as (
    select
        transforms.family,
        transforms.parameter,
        weighed.shard,
        weighed.position,
        weighed.reward,
        weighed.prediction,
        weighed.weight,
        case transforms.family
            when 'clip' then least(weighed.weight, transforms.parameter)
            when 'switch' then case when weighed.weight <= transforms.parameter then weighed.weight else 0 end
            when 'os'
                then
                    case
                        when transforms.parameter > 0
                            then weighed.weight / (1 + weighed.weight * weighed.weight / transforms.parameter)
                        else 0
                    end
            when 'sg'
                then
                    case
                        when transforms.parameter < 1
                            then
                                weighed.weight / (1 - transforms.parameter + transforms.parameter * weighed.weight)
                        else 1
                    end
            when 'power' then pow(weighed.weight, transforms.parameter)
        end as bent_weight
    from weighed
    cross join transforms
)

select
    family,
    parameter,
    shard,
    position,
    fsum(bent_weight) as weight,
    fsum(bent_weight * bent_weight) as weight_squared,
    fsum(bent_weight * reward) as weighted_reward,
    fsum(bent_weight * prediction) as weighted_prediction,
    fsum(greatest(bent_weight - weight, 0)) as excess,
    count_if(bent_weight < weight) as lighter,
    fsum(weight * bent_weight * reward * reward) as second_moment
from bent
group by all
