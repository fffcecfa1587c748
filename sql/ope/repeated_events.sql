-- Bad rows: events that a policy has more than one row for.
-- Columns: event, rows
select
    rows_of_all.event,
    count(*) as rows
from feedback as rows_of_all
where coalesce(rows_of_all.target_policy, 'target') = $target_policy
group by rows_of_all.event
having count(*) > 1
