-- Grain: one row per target policy of a table.
-- Columns: target_policy
select distinct coalesce(named.target_policy, 'target') as target_policy
from read_parquet([$targets, $optional], union_by_name = true) as named
order by target_policy
