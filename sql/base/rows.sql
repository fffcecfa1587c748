-- Grain: one row per row of the relation `rows`: accepted events or shown items of one bucket of users.
-- Columns: all of them, moment as `at`; period, the day that names the partition (null: no time).
select
    * exclude (moment),
    moment as at,
    case $grain
        when 'day' then moment::date
        when 'month' then date_trunc('month', moment)::date
        when 'year' then date_trunc('year', moment)::date
        else case when moment is not null then date '1970-01-01' end
    end as period
from rows
