-- Grain: one row per author, music and tag of a video of KuaiRand, the staged table triples; one row per bad record.
-- Columns: sql/staging/README.md. Tags are separated by commas; what is not known of a video is one row, dropped by the
-- filter `unknown`.
with parsed as (
    select
        line,
        fault,
        trim(video_id) as item_external,
        ['author', 'music', 'tag'] as names,
        [[author_id], [music_id], string_split(tag, ',')] as tails
    from block
),

judged as (
    select
        *,
        fault is null and item_external <> '' as usable
    from parsed
),

related as (
    select
        * exclude (names, tails),
        unnest(case when usable then names else [null] end) as name,
        unnest(case when usable then tails else [null] end) as tails
    from judged
),

known as (
    select
        * exclude (tails),
        list_filter(list_transform(tails, lambda tail: trim(tail)), lambda tail: tail <> '') as tails
    from related
),

told as (
    select
        * exclude (tails),
        unnest(case when len(tails) > 0 then tails else [null] end) as tail
    from known
)

select
    line,
    'item' as head_kind,
    item_external as head_external,
    'item.' || name as relation,
    'entity' as tail_kind,
    name || ':' || tail as tail_external,
    null::timestamptz as moment,
    case when fault is null and not usable then 'video_id' end as rejected_column,
    case when fault is not null then fault when not usable then 'empty' end as reason,
    case when usable and tail is null then 'unknown' end as filter
from told
