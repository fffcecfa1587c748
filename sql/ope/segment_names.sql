-- Grain: one row per part of the log.
-- Columns: segment
select distinct named.segment
from shown as named
