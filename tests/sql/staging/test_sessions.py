"""Sessions in their publishers' layouts: RetailRocket, Yoochoose, session-rec, Diginetica, JSON lines."""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from tests.staged import FACT, stage_lines, stage_source, told

MAY = datetime(2016, 5, 9, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """Seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def test_retailrockets_events_keep_their_milliseconds(tmp_path):
    (events,) = stage_lines(
        "retailrocket",
        tmp_path,
        events__csv=[
            "timestamp,visitorid,event,itemid,transactionid",
            "1433221332117,257597,view,355908,",
            "1433221999827,257597,addtocart,355908,",
            '1433222276276,257597,transaction,356475,"4000"',
            "1433221332,1,view,2,",
            "1433221332117,,view,2,",
            "1433221332117,1,view,,",
            "1433221332117,1,stare,2,",
            "1433221332117,1,view,2",
        ],
    )
    assert told(events, "user_external", "item_external", "session_external", "behaviour", "moment") == [
        ("257597", "355908", None, "view", at(1433221332.117)),
        ("257597", "355908", None, "cart", at(1433221999.827)),
        ("257597", "356475", None, "purchase", at(1433222276.276)),
    ]
    assert events.rejects == [
        (5, "timestamp", 'these look like seconds: let unit be "s"'),
        (6, "visitorid", "empty"),
        (7, "itemid", "empty"),
        (8, "event", "not among the listed behaviours"),
        (9, None, "4 fields instead of 5"),
    ]


PROPERTIES = "timestamp,itemid,property,value"
VIEWS = ["timestamp,visitorid,event,itemid,transactionid", "1433221332117,1,view,206783,"]


def test_retailrockets_properties_hold_from_a_moment_on_and_its_tree_always(tmp_path):
    _, properties, tree = stage_lines(
        "retailrocket",
        tmp_path,
        events__csv=VIEWS,
        item_properties_part1__csv=[
            PROPERTIES,
            "1435460400000,460429,categoryid,1338",
            "1441508400000,206783,888,1116713 960601 n277.200",
            "1441508400000,206783,available,0",
            "1435460400,5,categoryid,1",
            "later,5,categoryid,1",
            "1435460400000,,categoryid,1",
            "1435460400000,5,,1",
            "1435460400000,5,categoryid,",
            "1435460400000,5,categoryid",
        ],
        category_tree__csv=["categoryid,parentid", "1016,213", "231,", ",7"],
    )
    first, second = at(1435460400), at(1441508400)
    assert told(properties, *FACT, "moment") == [
        ("item", "460429", "item.category", "entity", "category:1338", first),
        ("item", "206783", "item.property:888", "entity", "property:888=1116713 960601 n277.200", second),
        ("item", "206783", "item.available", "entity", "available:0", second),
    ]
    assert properties.rejects == [
        (5, "timestamp", "before 2000: milliseconds are expected, not seconds"),
        (6, "timestamp", "not a whole number of milliseconds"),
        (7, "itemid", "empty"),
        (8, "property", "empty"),
        (9, "value", "empty"),
        (10, None, "3 fields instead of 4"),
    ]
    assert told(tree) == [("entity", "category:1016", "category.parent", "entity", "category:213")]
    assert tree.counts.dropped == {"no parent": 1}
    assert tree.rejects == [(4, "categoryid", "empty")]


def test_yoochooses_sessions_are_users_too(tmp_path):
    clicks, buys = stage_lines(
        "yoochoose",
        tmp_path,
        **{
            "yoochoose-clicks__dat": [
                "1,2014-04-07T10:51:09.277Z,214536502,0",
                "1,2014-04-07T10:54:09.868Z,214536500,S",
                "2,1396867869277,214662742,0",
                "2,2014-04-07T13:56:37.614Z,,0",
                ",2014-04-07T13:56:37.614Z,1,0",
                "3,2014-04-07T13:56:37.614Z,1",
            ],
            "yoochoose-buys__dat": [
                "420374,2014-04-06T18:44:58.314Z,214537888,12462,1",
                "420374,2014-04-06T18:44:58.325Z,214537850,10471,many",
            ],
        },
    )
    assert told(clicks) == [
        ("1", "214536502", "1", "click", None, datetime(2014, 4, 7, 10, 51, 9, 277000, UTC)),
        ("1", "214536500", "1", "click", None, datetime(2014, 4, 7, 10, 54, 9, 868000, UTC)),
    ]
    assert [(line, column) for line, column, _ in clicks.rejects] == [
        (3, "time"), (4, "item"), (5, "session"), (6, None),
    ]  # fmt: skip
    assert told(buys) == [
        ("420374", "214537888", "420374", "purchase", 1.0, datetime(2014, 4, 6, 18, 44, 58, 314000, UTC))
    ]
    assert buys.rejects == [(2, "quantity", "not a finite number")]


def test_session_recs_times_have_fractions(tmp_path):
    train, test = stage_lines(
        "session-rec",
        tmp_path,
        **{
            "own_train_full__txt": [
                "SessionId\tItemId\tTime",
                "3\t214716935\t1396437466.94",
                "3\t214832672\t1396438212",
                "3\t214832672\t1396438212318",
                "3\t214832672\tnan",
            ],
            "own_test__txt": ["ItemId\tTime\tSessionId", "214536502\t1396860669.277\t1"],
        },
    )
    assert told(train, "user_external", "session_external", "item_external", "moment") == [
        ("3", "3", "214716935", at(1396437466.94)),
        ("3", "3", "214832672", at(1396438212)),
    ]
    assert train.rejects == [
        (4, "Time", 'these look like milliseconds: let unit be "ms"'),
        (5, "Time", "not a number"),
    ]
    assert told(test, "session_external", "moment") == [("1", at(1396860669.277))]


def test_diginetica_without_user_goes_by_session_and_the_day_is_the_events_own(tmp_path):
    views, purchases, categories = stage_lines(
        "diginetica",
        tmp_path,
        **{
            "train-item-views__csv": [
                "session_id;user_id;item_id;timeframe;eventdate",
                "1;NA;81766;526309;2016-05-09",
                "2;17;31331;0;2016-05-09",
                ";NA;1;2;2016-05-09",
                "1;NA;x;2;2016-05-09",
                "1;NA;1;-2;2016-05-09",
                "1;NA;1;2;09.05.2016",
                "1;NA;1;2;2116-05-09",
                "1;NA;1;2",
            ],
            "train-purchases__csv": [
                "sessionId;userId;timeframe;eventdate;ordernumber;itemId",
                "150;18278;17100868;2016-05-09;16421;25911",
                "156;NA;1721689387;2016-05-09;21173;35324",
                "156;NA;1;2016-05-09;21173;",
                ";NA;1;2016-05-09;21173;3",
            ],
            "product-categories__csv": ["itemId;categoryId", "139578;1096", "417975;", ";1096"],
        },
    )
    assert told(views) == [
        ("session-1", "81766", "1", "view", None, at(MAY.timestamp() + 526.309)),
        ("17", "31331", "2", "view", None, MAY),
    ]
    assert views.rejects == [
        (4, "session_id", "empty"),
        (5, "item_id", "not a whole number"),
        (6, "timeframe", "not a whole number of milliseconds"),
        (7, "eventdate", "not a day such as 2016-05-09"),
        (8, "eventdate", "outside 1970 to 2100"),
        (9, None, "4 fields instead of 5"),
    ]
    assert told(purchases, "user_external", "session_external", "behaviour", "moment") == [
        ("18278", "150", "purchase", at(MAY.timestamp() + 17100.868)),
        ("session-156", "156", "purchase", MAY.replace(hour=23, minute=59, second=59, microsecond=999000)),
    ]
    assert purchases.rejects == [(4, "itemId", "not a whole number"), (5, "sessionId", "empty")]
    assert told(categories) == [("item", "139578", "item.category", "entity", "category:1096")]
    assert categories.rejects == [(3, "categoryId", "empty"), (4, "itemId", "empty")]


ODD_ITEMS = ("", "   ", None, True, 1.5, [1], {"a": 1}, 10**30)


def test_json_sessions_keep_their_order_and_refuse_what_is_no_item(tmp_path):
    train, test = stage_lines(
        "session-diginetica",
        tmp_path,
        train_sessions__jsonl=["[5, 3, 5]", "[]", '["ä b", " 7 "]', json.dumps([1, *ODD_ITEMS]), "[1, 2", "7", "null"],
        test__jsonl=[
            '{"seq": [4, 2], "target": 9}', '{"seq": [], "target": 1}', '{"seq": [1], "target": null}',
            '{"seq": [1]}', '{"seq": 1, "target": 2}', '{"target": 2}',
        ],
    )  # fmt: skip
    names = ("user_external", "session_external", "item_external", "place")
    assert told(train, *names) == [
        ("train-1", "train-1", "5", 0), ("train-1", "train-1", "3", 1), ("train-1", "train-1", "5", 2),
        ("train-3", "train-3", "ä b", 0), ("train-3", "train-3", "7", 1), ("train-4", "train-4", "1", 0),
    ]  # fmt: skip
    assert train.counts.dropped == {"no items": 1}
    form = "neither a list of items nor seq and target"
    assert train.rejects == [
        *[(4, "item", "neither a name nor a whole number") for _ in ODD_ITEMS],
        (5, None, "not valid JSON"),
        (6, None, form),
        (7, None, form),
    ]
    assert told(test, *names[1:]) == [
        ("test-1", "4", 0), ("test-1", "2", 1), ("test-1", "9", 2), ("test-2", "1", 0), ("test-3", "1", 0),
    ]  # fmt: skip
    assert test.rejects == [
        (3, "item", "neither a name nor a whole number"), (4, None, form), (5, None, form), (6, None, form),
    ]  # fmt: skip


PUBLISHED = {  # instances to train on, instances to test on, items: GCE-GNN, COTREC; None: not handed out here
    "session-diginetica": ("session-diginetica", 719_470, 60_858, 43_097),
    "session-tmall": ("session-tmall", 351_268, 25_898, 40_727),
    "retailrocket-cotrec": ("retailrocket", None, 15_132, 36_968),
    "yoochoose1_64": ("yoochoose-100k", None, 55_898, None),
}


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sessions_have_their_instances_and_items(data, tmp_path, name):
    folder, train, test, items = PUBLISHED[name]
    parts = stage_source(name, data / folder, tmp_path)
    assert not any(part.rejects or part.counts.dropped for part in parts)
    assert parts[-1].counts.read == test
    if train:
        assert parts[0].counts.accepted - parts[0].counts.read == train
    if items:
        assert pl.concat(part.accepted for part in parts)["item_external"].n_unique() == items


@pytest.mark.data
def test_a_purchase_of_diginetica_lies_as_long_after_the_views_as_the_log_says(data, tmp_path):
    views, purchases, categories = stage_source("diginetica", data / "session-diginetica", tmp_path)
    assert [part.counts.accepted for part in (views, purchases, categories)] == [12_391, 18_025, 184_047]
    assert not any(part.rejects for part in (views, purchases, categories))
    day = pl.col("moment").dt.date()
    began = views.accepted.group_by("session_external").agg(day.min().alias("began"))
    raw = pl.read_csv(data / "session-diginetica/raw/train-purchases.csv.gz", separator=";", infer_schema=False)
    elapsed = raw.select(pl.col("timeframe").cast(pl.Int64) // 86_400_000)["timeframe"]
    late = purchases.accepted.with_columns(elapsed.alias("days")).join(began, on="session_external")
    assert late.height == 256
    assert set(late.select((day - pl.col("began")).dt.total_days() - pl.col("days")).to_series()) == {0, 1}
