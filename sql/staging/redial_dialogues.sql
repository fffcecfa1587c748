-- Grain: one row per message of ReDial's JSON lines, the staged table dialogues: a line is a dialogue. One without any
-- message is dropped by the filter `no messages`.
-- Columns: sql/staging/README.md. Items are the ids after @; who began is the seeker, who answered the recommender.
with parsed as (
    select
        line,
        raw,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when coalesce(json_type(raw, '$.messages'), '') <> 'ARRAY' then 'no list of messages'
        end as fault
    from block
),

listed as (
    select
        line,
        fault,
        case when fault is null then json_extract_string(raw, '$.conversationId') end as dialogue,
        case when fault is null then json_extract_string(raw, '$.initiatorWorkerId') end as initiator,
        case when fault is null then json_extract_string(raw, '$.respondentWorkerId') end as respondent,
        case when fault is null then from_json(json_extract(raw, '$.messages'), '["JSON"]') end as messages
    from parsed
),

told as (
    select
        line,
        fault,
        trim(dialogue) as dialogue,
        initiator,
        respondent,
        coalesce(len(messages), 0) = 0 as lacks_messages,
        unnest(case when len(messages) > 0 then messages else [null] end) as message,
        unnest(range(greatest(coalesce(len(messages), 0), 1))) as turn
    from listed
),

spoken as (
    select
        *,
        case when json_type(message, '$.text') = 'VARCHAR' then json_extract_string(message, '$.text') end as text,
        case json_extract_string(message, '$.senderWorkerId')
            when initiator then 'seeker'
            when respondent then 'recommender'
        end as role
    from told
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when coalesce(dialogue, '') = '' then 'conversationId'
            when lacks_messages then null
            when text is null then 'text'
            when role is null then 'senderWorkerId'
        end as rejected_column
    from spoken
)

select
    line,
    dialogue as dialogue_external,
    turn::integer as turn,
    role,
    text,
    regexp_extract_all(text, '@([0-9]+)', 1) as items,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'conversationId' then 'empty'
        when rejected_column = 'text' then 'not a text'
        when rejected_column = 'senderWorkerId' then 'neither who began nor who answered'
    end as reason,
    case when fault is null and rejected_column is null and lacks_messages then 'no messages' end as filter
from judged
