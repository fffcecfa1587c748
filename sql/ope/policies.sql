-- Grain: one row per target policy of a table.
-- Columns: target_policy
select distinct coalesce(named.target_policy, 'target') as target_policy
from targets as named
order by target_policy
