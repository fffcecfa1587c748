-- Grain: one row per name of a user in the relation `names`, in its order.
-- Columns: bucket, where the user's rows go. Arithmetic on characters: DuckDB's own hash differs between its versions.
-- The constant outweighs the -1 that ord gives for a character that is not there; characters go up to 1,114,111, too
-- many for int32.
select
    (
        (
            ord(names.external[-1]) * 7919::bigint
            + ord(names.external[-2]) * 104729::bigint
            + ord(names.external[-3]) * 1299709::bigint
            + ord(names.external[1]) * 31
            + ord(names.external[2]) * 961
            + length(names.external)
            + 2000000
        ) % 65521 % $buckets
    )::smallint as bucket
from names
