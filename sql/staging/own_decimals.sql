-- Grain: one row per record, with points in place of $decimal in its numbers, for sql/staging/own_typed.sql.
-- Columns: those of the block.
select
    * replace (
        replace(value_raw::varchar, $decimal, '.') as value_raw,
        replace(reward_raw::varchar, $decimal, '.') as reward_raw,
        replace(propensity_raw::varchar, $decimal, '.') as propensity_raw
    )
from block
