"""Open Bandit: each shown item is a request with its propensity to the last digit, or rejected with its column."""

from datetime import UTC, datetime

import pytest

from tests.staged import staged, told

HEADER = (
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user_feature_2,user_feature_3,"
    "user-item_affinity_0\n"
)
SHOWN = ("0", "2019-11-24 00:00:17.004101+00:00", "79", "2", "1", "0.08712500000000001", "aa", "bb", "cc", "dd", "0.0")


def shown(**changed: str) -> str:
    """A line of a log with these columns changed."""
    names = HEADER.rstrip("\n").split(",")
    row = dict(zip(names, SHOWN, strict=True)) | changed
    return ",".join(row.values()) + "\n"


def test_a_line_is_a_request_of_the_policy_for_users_alike(tmp_path):
    (log,) = staged("open-bandit-bts-men", tmp_path, {"bts/men/men.csv": HEADER + shown()})
    moment = datetime(2019, 11, 24, 0, 0, 17, 4_101, UTC)
    policy = ("item_position", "bts", "men", None)
    assert told(log) == [("bts-men-0", "aa-bb-cc-dd", moment, 1, "79", 1.0, 0.08712500000000001, *policy)]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("", "", "empty"),
        ("timestamp", "soon", "not a time"),
        ("timestamp", "infinity", "not a time"),
        ("timestamp", "1019-11-24 00:00:17+00:00", "not between 1970 and 2100"),
        ("item_id", "x", "not a whole number"),
        ("position", "0", "not 1, 2 or 3"),
        ("position", "1.4", "not 1, 2 or 3"),
        ("click", "2", "neither 0 nor 1"),
        ("click", "", "neither 0 nor 1"),
        ("propensity_score", "0", "not in (0, 1]"),
        ("propensity_score", "-0.1", "not in (0, 1]"),
        ("propensity_score", "1.0001", "not in (0, 1]"),
        ("propensity_score", "nan", "not in (0, 1]"),
        ("user_feature_2", " ", "empty"),
    ],
)
def test_a_bad_line_is_rejected_with_its_column(tmp_path, column, value, reason):
    content = HEADER + shown() + shown(**{column: value})
    (log,) = staged("open-bandit-random-all", tmp_path, {"random/all/all.csv": content})
    assert log.rejects == [(3, column, reason)]
    assert log.counts.accepted == 1


def test_items_have_three_categorical_features(tmp_path):
    lines = ["0,0,-0.5,aed,675,5c1\n", "1,x,0.5,aed,675,5c1\n", "2,2,0.5,,675,5c1\n", "3,3,0.5\n"]
    _, items = staged(
        "open-bandit-random-all",
        tmp_path,
        {
            "random/all/all.csv": HEADER + shown(),
            "random/all/item_context.csv": ",item_id," + ",".join(f"item_feature_{i}" for i in range(4)) + "\n"
            + "".join(lines),
        },
    )  # fmt: skip
    assert told(items) == [
        ("item", "0", f"item.feature_{i}", "entity", f"feature:{name}")
        for i, name in ((1, "aed"), (2, "675"), (3, "5c1"))
    ]
    assert items.counts.dropped == {"number": 1}
    assert items.rejects == [
        (3, "item_id", "not a whole number"),
        (4, "item_feature_1", "empty"),
        (5, None, "3 fields instead of 6"),
    ]
