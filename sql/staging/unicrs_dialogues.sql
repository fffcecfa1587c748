-- Grain: one row per utterance of UniCRS's JSON lines, the staged table dialogues: a line is the list of utterances of
-- one dialogue, which has no id: it is called $prefix and its line. One without any is dropped by `no utterances`.
-- Columns: sql/staging/README.md. Items are the titles in `movie`, as written there.
with parsed as (
    select
        line,
        raw,
        case
            when fault is not null then fault
            when not json_valid(raw) then 'not valid JSON'
            when json_type(raw) <> 'ARRAY' then 'not a list of utterances'
        end as fault
    from block
),

listed as (
    select
        line,
        fault,
        case when fault is null then from_json(raw, '["JSON"]') end as utterances
    from parsed
),

told as (
    select
        line,
        fault,
        coalesce(len(utterances), 0) = 0 as lacks_utterances,
        unnest(case when len(utterances) > 0 then utterances else [null] end) as utterance,
        unnest(range(greatest(coalesce(len(utterances), 0), 1))) as turn
    from listed
),

judged as (
    select
        *,
        lower(json_extract_string(utterance, '$.role')) as role,
        case
            when fault is not null or lacks_utterances then null
            when coalesce(json_type(utterance, '$.text'), '') <> 'VARCHAR' then 'text'
            when
                coalesce(lower(json_extract_string(utterance, '$.role')), '') not in ('seeker', 'recommender')
                then 'role'
            when coalesce(json_type(utterance, '$.movie'), '') <> 'ARRAY' then 'movie'
        end as rejected_column
    from told
)

select
    line,
    $prefix || line as dialogue_external,
    turn::integer as turn,
    role,
    json_extract_string(utterance, '$.text') as text,
    case when rejected_column is null then from_json(json_extract(utterance, '$.movie'), '["VARCHAR"]') end as items,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'text' then 'not a text'
        when rejected_column = 'role' then 'neither SEEKER nor RECOMMENDER'
        when rejected_column = 'movie' then 'not a list'
    end as reason,
    case when fault is null and lacks_utterances then 'no utterances' end as filter
from judged
