-- Grain: one row per record of a file of JSON lines: the columns that sql/staging/own_typed.sql reads.
-- Columns: line; fault; one text for each role, taken from where $paths says (JSON pointers, in the order below).
with taken as (
    select
        line,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when json_type(raw) <> 'OBJECT' then 'not a JSON object'
        end as fault,
        case when fault is null and json_valid(raw) then json_extract_string(raw, $paths) end as texts
    from block
)

select
    line,
    fault,
    texts[1] as user_raw,
    texts[2] as item_raw,
    texts[3] as session_raw,
    texts[4] as time_raw,
    texts[5] as behaviour_raw,
    texts[6] as value_raw,
    texts[7] as request_raw,
    texts[8] as position_raw,
    texts[9] as candidates_raw,
    texts[10] as propensity_raw,
    texts[11] as propensities_raw,
    texts[12] as reward_raw,
    texts[13] as logging_policy_raw,
    texts[14] as logging_policy_version_raw
from taken
