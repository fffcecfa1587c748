-- Grain: one row per user and item that some event joins.
-- Columns: user, item.
select distinct
    events.user,
    events.item
from read_parquet($events) as events
