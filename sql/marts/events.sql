-- Grain: one row per accepted rating, the table EVENTS: event, user, session, item, behaviour, value, at.
-- Events are numbered in the order of time, user and item, whatever the order of the file.
with ratings as (
    select
        user_id::varchar as user_external,
        item_id::varchar as item_external,
        value,
        seconds
    from read_parquet($ratings)
    where reason is null
),

users as (
    select
        external,
        id
    from read_parquet($vocabulary)
    where kind = 'user'
),

items as (
    select
        external,
        id
    from read_parquet($vocabulary)
    where kind = 'item'
)

select
    row_number() over (order by ratings.seconds, users.id, items.id, ratings.value) as event,
    users.id as user,
    null::bigint as session,
    items.id as item,
    'rating' as behaviour,
    ratings.value,
    to_timestamp(ratings.seconds) as at
from ratings
inner join users on ratings.user_external = users.external
inner join items on ratings.item_external = items.external
order by event
