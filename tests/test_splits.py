"""The world's split: shares, order, and what it does not depend on; protocols in batches, against the whole log."""

from datetime import UTC, datetime, timedelta
from math import floor

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.errors import InputError
from rlrec.splits import (
    WORLD_SLICES,
    BySession,
    ColdItems,
    ColdUsers,
    GlobalTime,
    LeaveOneOut,
    UserFraction,
    chronological_shares,
    split,
    untimed,
)
from rlrec.tables import EVENTS, SPLITS, check

START = datetime(1998, 1, 1, tzinfo=UTC)
TENTHS = dict(zip(WORLD_SLICES, (6, 2, 1, 1), strict=True))
PLACE = {name: place for place, name in enumerate(WORLD_SLICES)}


def events_of(rows: list[tuple[int, int, float | None, int | None]]) -> pl.DataFrame:
    """EVENTS from (user, item, value, second), in the order of time, user and item, or as given without times."""
    ordered = sorted(rows, key=lambda row: (-1, 0, 0) if row[3] is None else (row[3], *row[:2]))
    return pl.DataFrame(
        [
            (i + 1, user, None, item, "rating", value, None if second is None else START + timedelta(seconds=second))
            for i, (user, item, value, second) in enumerate(ordered)
        ],
        schema=EVENTS.schema,
        orient="row",
    )


def split_of(events: pl.DataFrame, size: int = 7, **options: object) -> pl.DataFrame:
    """The events with their slice, placed in batches of a size."""
    batches = chronological_shares(lambda *_: events.iter_slices(size), positive_from=4.0, **options)  # pyright: ignore[reportArgumentType]
    splits = pl.concat(batches)
    check(splits, SPLITS)
    return events.join(splits, on="event", validate="1:1", maintain_order="left")


user_rows = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 50), st.sampled_from([1.0, 3.0, 4.0, 5.0, None]), st.integers(0, 200)),
    min_size=1,
    max_size=150,
)


@given(user_rows)
def test_every_event_is_in_one_slice(rows):
    frame = split_of(events_of(rows))
    assert frame["event"].to_list() == list(range(1, len(rows) + 1))
    assert set(frame["split"]) <= set(WORLD_SLICES)


@given(user_rows)
def test_slices_follow_time_within_a_user(rows):
    frame = split_of(events_of(rows)).sort("user", "at", "item", "event")
    for _, mine in frame.group_by("user", maintain_order=True):
        places = [PLACE[name] for name in mine["split"]]
        assert places == sorted(places)


@given(user_rows)
def test_shares_of_positives_are_exact_within_one_event(rows):
    positives = split_of(events_of(rows)).filter(pl.col("value").is_null() | (pl.col("value") >= 4.0))
    for _, mine in positives.group_by("user"):
        n = len(mine)
        if n < 10:
            assert set(mine["split"]) == {"train"}
        else:
            for name, tenths in TENTHS.items():
                assert abs((mine["split"] == name).sum() - tenths * n / 10) < 1


@given(user_rows, st.integers(1, 150))
def test_batches_of_any_size_split_alike(rows, size):
    events = events_of(rows)
    assert split_of(events, size).equals(split_of(events, len(rows)))


@given(st.lists(st.sampled_from([2.0, 4.0, 5.0]), min_size=10, max_size=80), st.integers(0, 1000))
def test_other_items_in_test_rows_change_no_slice(values, shift):
    rows = [(1, i + 1, value, i) for i, value in enumerate(values)]
    before = split_of(events_of(rows))
    in_test = set(before.filter(pl.col("split") == "test")["event"])
    changed = [(u, item + shift if i + 1 in in_test else item, v, s) for i, (u, item, v, s) in enumerate(rows)]
    assert split_of(events_of(changed))["split"].equals(before["split"])


def test_ten_positives_split_six_two_one_one():
    frame = split_of(events_of([(1, i + 1, 5.0, i) for i in range(10)]))
    assert frame["split"].to_list() == ["train"] * 6 + ["feedback"] * 2 + ["validation"] + ["test"]


def test_nine_positives_are_all_train():
    rows = [(1, i + 1, 5.0, i) for i in range(9)] + [(1, 100 + i, 1.0, 50 + i) for i in range(20)]
    assert set(split_of(events_of(rows))["split"]) == {"train"}


def test_other_events_go_where_a_positive_at_their_place_would():
    positives = [(1, i + 1, 5.0, 10 * i) for i in range(10)]
    others = [(1, 50, 1.0, 0), (1, 51, 1.0, 55), (1, 52, 1.0, 85), (1, 53, 1.0, 500)]
    frame = split_of(events_of(positives + others)).filter(pl.col("item") >= 50).sort("item")
    assert frame["split"].to_list() == ["train", "feedback", "test", "test"]


def test_equal_times_are_ordered_by_item():
    rows = [(1, item, 5.0, 0) for item in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)]
    frame = split_of(events_of(rows)).sort("item")
    assert frame["split"].to_list() == ["train"] * 6 + ["feedback"] * 2 + ["validation"] + ["test"]


def test_some_events_without_time_are_refused():
    every, some = ([(1, 1, 5.0, None), (1, 2, 5.0, second)] for second in (None, 3))
    assert untimed(lambda *_: events_of(every).iter_slices(1))
    with pytest.raises(InputError, match="no time") as refusal:
        untimed(lambda *_: events_of(some).iter_slices(1))
    assert (refusal.value.column, refusal.value.rows) == ("at", 1)


def test_shares_are_parameters():
    rows = [(1, i + 1, None, i) for i in range(12)]
    frame = split_of(events_of(rows), shares=(0.5, 0.25, 0.25), names=("a", "b", "c"), minimum=1, protocol="thirds")
    assert frame["split"].to_list() == ["a"] * 6 + ["b"] * 3 + ["c"] * 3
    assert set(frame["protocol"]) == {"thirds"}


def timed(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    """EVENTS of (user, item, second) in the order of time; a session a user and quarter of the time."""
    frame = events_of([(user, item, None, second) for user, item, second in rows])
    return frame.with_columns(session=pl.col("user").cast(pl.Int64) * 10 + pl.col("at").dt.second() // 15)


PROTOCOLS = (
    LeaveOneOut(),
    UserFraction(),
    GlobalTime(validation=0.2, test=0.2),
    GlobalTime(validation=0),
    BySession(validation=0.3, test=0.3),
    ColdItems(share=0.3),
    ColdItems(share=0.3, support=2),
    ColdUsers(share=0.4, support=1),
)
timed_rows = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(0, 59)), min_size=1, max_size=60)


def placed(rows: list[tuple[int, int, int]], protocol, size: int = 5) -> pl.DataFrame:
    """The events with their slice, placed in batches of a size."""
    events = timed(rows)
    splits = pl.concat(split(lambda *_: events.iter_slices(size), protocol))
    check(splits, SPLITS)
    return events.join(splits, on="event", validate="1:1", maintain_order="left")


def expected(events: pl.DataFrame, protocol) -> list[str]:
    """What a protocol's docstring says, of a log in memory, event by event."""
    rows = events.rows(named=True)

    def share_of(number: int, share: float) -> int:
        return floor(number * share + 1e-9)

    def among(kind: str, row: dict) -> tuple[int, int]:
        mine = [other["event"] for other in rows if other[kind] == row[kind]]
        return mine.index(row["event"]), len(mine)

    def held_out(place: int, number: int, test: int, validation: int) -> str:
        left = number - 1 - place
        return "test" if left < test else "validation" if left < test + validation else "train"

    def slice_of(row: dict) -> str:
        match protocol:
            case LeaveOneOut():
                place, number = among("user", row)
                return held_out(place, number, 1, 1) if number >= 3 else "train"
            case UserFraction():
                place, number = among("user", row)
                return held_out(place, number, share_of(number, protocol.test), share_of(number, protocol.validation))
            case GlobalTime():
                shares = (1 - protocol.test, 1 - protocol.validation - protocol.test)
                test, validation = (rows[min(len(rows) - 1, share_of(len(rows), part))]["at"] for part in shares)
                return "test" if row["at"] >= test else "validation" if row["at"] >= validation else "train"
            case BySession():
                begun = list(dict.fromkeys(other["session"] for other in rows))
                test, validation = (share_of(len(begun), share) for share in (protocol.test, protocol.validation))
                return held_out(begun.index(row["session"]), len(begun), test, validation)
            case ColdItems() | ColdUsers():
                kind, support = ("item", "train") if isinstance(protocol, ColdItems) else ("user", "context")
                ids = events[kind].unique().sort()
                drawn = ids.sample(max(1, share_of(len(ids), protocol.share)), seed=protocol.seed, shuffle=True)
                if row[kind] not in drawn:
                    return "train"
                return support if among(kind, row)[0] < protocol.support else "test"

    return [slice_of(row) for row in rows]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: f"{protocol.protocol}")
@settings(max_examples=15, deadline=None)
@given(rows=timed_rows, size=st.integers(1, 60))
def test_every_protocol_places_in_batches_as_in_the_whole_log(rows, protocol, size):
    assert placed(rows, protocol, size)["split"].to_list() == expected(timed(rows), protocol)


@settings(max_examples=25, deadline=None)
@given(rows=timed_rows)
def test_a_user_trains_before_validation_before_test(rows):
    for protocol in (LeaveOneOut(), UserFraction(validation=0.3, test=0.3)):
        for _, of_user in placed(rows, protocol).group_by("user"):
            names = of_user.sort("at", "event")["split"].to_list()
            assert names == sorted(names, key=["train", "validation", "test"].index)
        if isinstance(protocol, LeaveOneOut):
            tests = placed(rows, protocol).filter(pl.col("split") == "test")
            assert tests["user"].is_unique().all()


@settings(max_examples=25, deadline=None)
@given(rows=timed_rows)
def test_global_time_cuts_the_world_at_moments(rows):
    found = placed(rows, GlobalTime(validation=0.2, test=0.2))
    for earlier, later in (("train", "validation"), ("validation", "test"), ("train", "test")):
        before, after = (found.filter(pl.col("split") == name)["at"] for name in (earlier, later))
        assert before.is_empty() or after.is_empty() or before.max() < after.min()


@settings(max_examples=25, deadline=None)
@given(rows=timed_rows)
def test_a_session_is_never_cut(rows):
    found = placed(rows, BySession(validation=0.3, test=0.3))
    assert found.group_by("session").agg(pl.col("split").n_unique())["split"].max() == 1


@settings(max_examples=25, deadline=None)
@given(rows=timed_rows, support=st.integers(0, 2))
def test_cold_items_train_on_their_support_only_and_cold_users_on_nothing(rows, support):
    items = placed(rows, ColdItems(share=0.3, support=support))
    cold = items.filter(pl.col("split") == "test")["item"].unique()
    trained = items.filter(pl.col("item").is_in(cold.implode()), pl.col("split") == "train").group_by("item").len()
    assert trained["len"].max() in ({None} if support == 0 else {None, support})
    users = placed(rows, ColdUsers(share=0.4, support=support))
    new = users.filter(pl.col("split") != "train")["user"].unique()
    assert "train" not in users.filter(pl.col("user").is_in(new.implode()))["split"].to_list()
    assert users.filter(pl.col("split") == "context").group_by("user").len()["len"].max() in {
        None,
        *range(1, support + 1),
    }


def test_protocols_say_what_they_lack():
    events = events_of([(1, 1, None, None), (1, 2, None, None)])
    with pytest.raises(InputError, match="global_time needs at of every event"):
        list(split(lambda *_: events.iter_slices(1), GlobalTime()))
    with pytest.raises(InputError, match="by_session needs session") as refusal:
        list(split(lambda *_: events.iter_slices(1), BySession()))
    assert "sessions_by_gap" in str(refusal.value.remedy)
