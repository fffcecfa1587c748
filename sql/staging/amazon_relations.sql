-- Grain: one row per brand and per related product of a product of Amazon's metadata, the staged table triples; one row
-- per bad record. Related products are items, whether or not the file describes them.
-- Columns: sql/staging/README.md. A relation that a product lacks is one row, dropped by the filter `no such relation`.
with parsed as (
    select
        line,
        fault,
        coalesce(json_type(try_cast(raw as json)) = 'OBJECT', false) as readable,
        starts_with(trim(raw), '{''') as is_literal,
        try_cast(raw as json) as told
    from block
),

named as (
    select
        line,
        fault,
        readable,
        is_literal,
        trim(coalesce(told ->> '$.parent_asin', told ->> '$.asin', '')) as item_external,
        [
            'item.brand', 'item.also_bought', 'item.also_viewed', 'item.bought_after_viewing', 'item.bought_together'
        ] as relations,
        [
            [coalesce(told ->> '$.brand', told ->> '$.store')],
            list_concat(
                json_extract_string(told, '$.related.also_bought[*]'),
                json_extract_string(told, '$.also_buy[*]')
            ),
            list_concat(
                json_extract_string(told, '$.related.also_viewed[*]'),
                json_extract_string(told, '$.also_view[*]')
            ),
            json_extract_string(told, '$.related.buy_after_viewing[*]'),
            list_concat(
                json_extract_string(told, '$.related.bought_together[*]'),
                json_extract_string(told, '$.bought_together[*]')
            )
        ] as tails
    from parsed
),

judged as (
    select
        *,
        coalesce(readable and item_external <> '', false) as usable
    from named
),

related as (
    select
        * exclude (relations, tails),
        unnest(case when usable then relations else [null] end) as relation,
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
    relation,
    case when relation = 'item.brand' then 'entity' else 'item' end as tail_kind,
    case when relation = 'item.brand' then 'brand:' else '' end || tail as tail_external,
    null::timestamptz as moment,
    case when readable and not usable then 'asin' end as rejected_column,
    case
        when fault is not null then fault
        when usable then null
        when readable then 'empty'
        when is_literal then 'a Python literal, not JSON: write json.dumps(ast.literal_eval(line)) for each line'
        else 'not a JSON object'
    end as reason,
    case when usable and tail is null then 'no such relation' end as filter
from told
