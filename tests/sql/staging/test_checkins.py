"""Gowalla's check-ins and friendships, and the splits of Neural Collaborative Filtering."""

from datetime import UTC, datetime

import pytest

from tasks.database import connect
from tasks.sources import fetch
from tasks.staging import stage
from tests.staged import staged, told

CHECKIN = "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"


def test_checkins_have_a_place_and_a_time_in_utc(tmp_path):
    bad = (
        "\t2010-10-19T23:55:27Z\t1\t1\t5\n",
        "0\t1287532527\t1\t1\t5\n",
        "0\t2010-10-19T23:55:27Z\t1\t1\t\n",
        "0\t1\n",
    )
    (log,) = staged("gowalla", tmp_path, {"loc-gowalla_totalCheckins.txt": CHECKIN + "".join(bad)})
    assert told(log) == [("0", "22847", None, "checkin", None, datetime(2010, 10, 19, 23, 55, 27, tzinfo=UTC))]
    assert [(line, column) for line, column, _ in log.rejects] == [(2, "user"), (3, "time"), (4, "place"), (5, None)]


def test_friendships_are_facts_about_users(tmp_path):
    files = {"loc-gowalla_totalCheckins.txt": CHECKIN, "loc-gowalla_edges.txt": "0\t1\n1\t0\n\t2\n3\t\n4\n"}
    _, friends = staged("gowalla", tmp_path, files)
    assert told(friends) == [("user", "0", "user.friend", "user", "1"), ("user", "1", "user.friend", "user", "0")]
    assert friends.rejects == [(3, "user", "empty"), (5, None, "1 fields instead of 2")]
    assert friends.counts.dropped == {"empty list": 1}


def test_pins_carry_neither_stars_nor_times(tmp_path):
    files = {"pinterest-20.train.rating": "0\t0\t1\t0\n", "pinterest-20.test.rating": "0\t1\t1\t0\n0\t\t1\t0\n"}
    train, test = staged("pinterest", tmp_path, files)
    assert told(train) == [("0", "0", None, "pin", None, None)]
    assert told(test) == [("0", "1", None, "pin", None, None)]
    assert test.rejects == [(2, "item", "empty")]


def test_movielens_in_this_split_has_stars_and_times(tmp_path):
    (test,) = staged("ncf-ml-1m", tmp_path, {"ml-1m.test.rating": "0\t25\t5\t978824351\n0\t25\tx\t1\n"})
    assert told(test) == [("0", "25", None, "rating", 5.0, datetime(2001, 1, 6, 23, 39, 11, tzinfo=UTC))]
    assert test.rejects[0][:2] == (2, "time")


@pytest.mark.data
def test_the_real_split_has_one_test_pair_for_each_user(data, tmp_path):
    (feed,) = fetch("ncf-ml-1m", data / "ml-1m").feeds
    with connect(tmp_path) as connection:
        counts = stage(feed, tmp_path / "staged", connection).counts
    assert (counts.read, counts.accepted) == (6_040, 6_040)
