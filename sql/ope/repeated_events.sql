-- Bad rows: events that a policy has more than one row for.
-- Columns: event, rows
select
    rows_of_all.event,
    count(*) as rows
from shown as rows_of_all
group by rows_of_all.event
having count(*) > 1
