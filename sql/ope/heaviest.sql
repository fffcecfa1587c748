-- Grain: one row per shown item among those of the largest weights.
-- Columns: weight
select rows_of_all.target_probability::double / rows_of_all.propensity::double as weight
from feedback as rows_of_all
where coalesce(rows_of_all.target_policy, 'target') = $target_policy
order by weight desc
limit $heaviest
