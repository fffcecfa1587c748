-- Grain: one row per utterance, the table DIALOGUES: dialogue, turn, role, text, items (dense, in order of mention).
with dialogues as (
    select
        dialogue_external as dialogue,
        turn,
        role,
        text,
        items
    from read_parquet($dialogues, union_by_name = true)
),

vocabulary as (
    select
        external,
        id
    from read_parquet($vocabulary)
    where kind = 'item'
),

mentioned as (
    select
        dialogues.dialogue,
        dialogues.turn,
        unnest(dialogues.items) as external,
        generate_subscripts(dialogues.items, 1) as place
    from dialogues
),

named as (
    select
        mentioned.dialogue,
        mentioned.turn,
        list(vocabulary.id order by mentioned.place) as items
    from mentioned
    inner join vocabulary on mentioned.external = vocabulary.external
    group by mentioned.dialogue, mentioned.turn
)

select
    dialogues.dialogue,
    dialogues.turn,
    dialogues.role,
    dialogues.text,
    coalesce(named.items, []::integer[]) as items
from dialogues
left join named on dialogues.dialogue = named.dialogue and dialogues.turn = named.turn
order by dialogues.dialogue, dialogues.turn
