-- Grain: one row per event of the base: the columns of the table EVENTS, and `repeat`.
-- Events are numbered in the order of time (of the source where there is none), user and item, whatever the files'
-- order; of equal ones, the one that does not repeat comes first, so that the numbers are always the same.
with ordered as (
    select
        base.user,
        base.session,
        base.item,
        base.behaviour,
        base.value,
        base.at,
        base.repeat
    from read_parquet($base) as base
    order by
        base.at nulls first,
        base.place nulls first,
        base.user,
        base.item,
        base.value,
        base.behaviour,
        base.session,
        base.repeat
)

select
    row_number() over () as event,
    ordered.user,
    ordered.session,
    ordered.item,
    ordered.behaviour,
    ordered.value,
    ordered.at,
    ordered.repeat
from ordered
