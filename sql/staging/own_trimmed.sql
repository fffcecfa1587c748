-- Grain: one row per record of somebody's own log whose columns are no text yet, or text with blanks around it.
-- Columns: line; fault; those of sql/staging/own_typed.sql, as text without blanks around it.
-- Only texts that start or end with a sign up to the blank are trimmed: trim with $blanks is slow, and plain trim would
-- take Unicode's blanks too.
with told as (
    select
        line,
        fault,
        candidates_raw,
        propensities_raw,
        columns(* exclude (line, fault, candidates_raw, propensities_raw))::varchar
    from block
)

select
    line,
    fault,
    candidates_raw,
    propensities_raw,
    case
        when
            columns(* exclude (line, fault, candidates_raw, propensities_raw)) >= '!'
            and columns(* exclude (line, fault, candidates_raw, propensities_raw))[-1] >= '!'
            then columns(* exclude (line, fault, candidates_raw, propensities_raw))
        else trim(columns(* exclude (line, fault, candidates_raw, propensities_raw)), $blanks)
    end
from told
