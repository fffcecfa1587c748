-- Grain: one row per utterance of INSPIRED's tsv files, the staged table dialogues.
-- Columns: sql/staging/README.md. Items are the titles in `movies`, as written there.
with parsed as (
    select
        *,
        case when regexp_full_match(trim(utt_id), '[0-9]{1,6}') then trim(utt_id)::integer - 1 end as turn,
        lower(trim(speaker)) as role
    from block
),

judged as (
    select
        *,
        case
            when fault is not null then null
            when trim(dialog_id) = '' then 'dialog_id'
            when coalesce(turn, -1) < 0 then 'utt_id'
            when role not in ('seeker', 'recommender') then 'speaker'
        end as rejected_column
    from parsed
)

select
    line,
    trim(dialog_id) as dialogue_external,
    turn,
    role,
    text,
    list_filter(
        list_transform(string_split(movies, $separator), lambda name: trim(name)), lambda name: name <> ''
    ) as items,
    rejected_column,
    case
        when fault is not null then fault
        when rejected_column = 'dialog_id' then 'empty'
        when rejected_column = 'utt_id' then 'not a positive whole number'
        when rejected_column = 'speaker' then 'neither SEEKER nor RECOMMENDER'
    end as reason,
    null::varchar as filter
from judged
