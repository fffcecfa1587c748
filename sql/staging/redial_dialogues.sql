-- Grain: one row per message of ReDial's JSON lines, the staged table dialogues.
-- Columns: sql/staging/README.md. Items are the ids after @; who began is the seeker, who answered the recommender.
with parsed as (
    select
        line,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when json_type(raw, '$.messages') is distinct from 'ARRAY' then 'no messages'
        end as fault,
        raw
    from block
),

told as (
    select
        line,
        fault,
        case when fault is null then json_extract_string(raw, '$.conversationId') end as dialogue,
        case when fault is null then json_extract_string(raw, '$.initiatorWorkerId') end as initiator,
        unnest(case when fault is null then from_json(json_extract(raw, '$.messages'), '["JSON"]') else [null] end)
            as message,
        unnest(range(case when fault is null then json_array_length(raw, '$.messages')::bigint else 1 end)) as turn
    from parsed
),

judged as (
    select
        *,
        json_extract_string(message, '$.text') as text,
        case when fault is null and coalesce(dialogue, '') = '' then 'conversationId' end as rejected_column
    from told
)

select
    line,
    dialogue as dialogue_external,
    turn::integer as turn,
    case when json_extract_string(message, '$.senderWorkerId') = initiator then 'seeker' else 'recommender' end as role,
    text,
    regexp_extract_all(text, '@([0-9]+)', 1) as items,
    rejected_column,
    case when fault is not null then fault when rejected_column is not null then 'empty' end as reason,
    null::varchar as filter
from judged
