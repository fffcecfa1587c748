-- Grain: one row per shown item among those of the largest weights.
-- Columns: weight
select rows_of_all.target_probability::double / rows_of_all.propensity::double as weight
from shown as rows_of_all
order by weight desc
limit $heaviest
