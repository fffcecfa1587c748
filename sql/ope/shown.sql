-- Grain: one row per row of the relation `feedback`, a log that holds the target's columns, for one target policy.
-- Columns: those of feedback; user_number (of what is no integer of 64 bits, by the MD5 of its text);
-- shard, which all rows of a user fall into.
with numbered as (
    select
        feedback.*,
        case
            when
                typeof(feedback.user)
                in ('TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT', 'UTINYINT', 'USMALLINT', 'UINTEGER')
                then try_cast(feedback.user as bigint)
            else (md5_number_lower(feedback.user::varchar) % 2147483647)::bigint
        end as user_number
    from feedback
    where coalesce(feedback.target_policy, 'target') = $target_policy
)

select
    *,
    ((xor(user_number, user_number >> 31) & 2147483647) * 2654435761 % 4294967296 * $shards) >> 32 as shard
from numbered
