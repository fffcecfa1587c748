"""Filters: what each keeps, that nothing is dropped uncounted, that a k-core is the largest one, and that batches of
any size give what the whole log in memory gives.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.errors import InputError
from rlrec.filters import (
    Behaviours,
    DateRange,
    ExactDuplicates,
    KCore,
    SessionLength,
    SessionsByGap,
    apply,
    k_core,
)
from rlrec.passes import Events
from rlrec.tables import EVENTS

START = datetime(2024, 1, 1, tzinfo=UTC)
rows = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 6), st.sampled_from(["view", "buy"]), st.integers(0, 90)),
    min_size=1,
    max_size=60,
)


IDENTITY = ("user", "item", "behaviour", "value", "at", "session")


def events_of(drawn: list[tuple[int, int, str, int]]) -> pl.DataFrame:
    """EVENTS and `repeat` from (user, item, behaviour, minute), numbered by time."""
    ordered = sorted(drawn, key=lambda row: row[3])
    return pl.DataFrame(
        [
            (place, user, None, item, behaviour, None, START + timedelta(minutes=minute))
            for place, (user, item, behaviour, minute) in enumerate(ordered, 1)
        ],
        schema=EVENTS.schema,
        orient="row",
    ).with_columns(repeat=~pl.struct(IDENTITY).is_first_distinct())


def distinct(events: Events) -> Events:
    """The pairs, in memory."""
    pairs = pl.DataFrame(schema={"user": pl.Int32, "item": pl.Int32})
    pairs = pl.concat([pairs, *(batch.select("user", "item") for batch in events())]).unique()
    return lambda *_: pairs.iter_slices(7)


def filtered(events: pl.DataFrame, *filters, size: int = 3) -> tuple[pl.DataFrame, list[int]]:
    """What passes, in batches of a size, and what each filter dropped."""
    kept, rows = apply(lambda *_: events.iter_slices(size), filters, distinct)
    passed = pl.concat([events.clear(), *kept()])
    assert (rows[0], rows[len(filters)]) == (events.height, passed.height)
    return passed, [rows[place] - rows[place + 1] for place in range(len(filters))]


@settings(max_examples=25, deadline=None)
@given(drawn=rows)
def test_rows_in_are_rows_out_and_rows_dropped(drawn):
    filters = (
        ExactDuplicates(), Behaviours(keep=("view",)), DateRange(until=START + timedelta(hours=1)),
        SessionsByGap(minutes=10), SessionLength(least=2), KCore(users=2, items=2),
    )  # fmt: skip
    kept, dropped = filtered(events_of(drawn), *filters)
    assert len(drawn) == kept.height + sum(dropped)
    assert dropped[3] == 0
    assert kept["event"].is_sorted()


def brute_core(pairs: set[tuple[int, int]], users: int, items: int) -> set[tuple[int, int]]:
    """Remove one offender at a time until there is none."""
    while True:
        offender = next(
            (
                (side, node)
                for side, least in ((0, users), (1, items))
                for node in {pair[side] for pair in pairs}
                if len({pair for pair in pairs if pair[side] == node}) < least
            ),
            None,
        )
        if offender is None:
            return pairs
        pairs = {pair for pair in pairs if pair[offender[0]] != offender[1]}


@settings(max_examples=40, deadline=None)
@given(drawn=rows, users=st.integers(1, 4), items=st.integers(1, 4))
def test_a_k_core_is_the_largest_and_a_fixpoint(drawn, users, items):
    kept, _ = filtered(events_of(drawn), KCore(users=users, items=items))
    found = set(kept.select("user", "item").iter_rows())
    assert found == brute_core({(user, item) for user, item, *_ in drawn}, users, items)
    assert filtered(kept, KCore(users=users, items=items))[1] == [0]


def test_one_round_of_a_k_core_may_leave_more():
    chain = events_of([(u, i, "view", 0) for u, i in [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]])
    pairs = distinct(lambda *_: chain.iter_slices(2))
    users, items = k_core(pairs, 2, 2, rounds=1)
    assert np.flatnonzero(users).tolist() == [1, 2]
    assert np.flatnonzero(items).tolist() == [2, 3]
    assert not k_core(pairs, 2, 2)[0].any()


def test_sessions_end_where_the_pause_is_longer_than_the_gap():
    kept, _ = filtered(events_of([(1, 1, "view", m) for m in (0, 30, 61)] + [(2, 1, "view", 0)]), SessionsByGap())
    sessions = dict(kept.group_by("user").agg(pl.col("session").sort()).iter_rows())
    assert sessions == {1: [1, 1, 2], 2: [3]}


def test_a_date_range_holds_its_start_and_not_its_end():
    three = events_of([(1, 1, "view", m) for m in (0, 10, 20)])
    naive = START.replace(tzinfo=None)
    kept, _ = filtered(three, DateRange(since=naive + timedelta(minutes=10), until=START + timedelta(minutes=20)))
    assert kept["event"].to_list() == [2]


def test_an_unknown_key_of_a_filter_is_refused():
    with pytest.raises(ValueError, match="Extra inputs"):
        KCore(user=3)


def test_marked_repeats_are_dropped_and_sessions_need_times():
    twice = events_of([(1, 1, "view", 5), (1, 1, "view", 5), (1, 1, "buy", 5), (1, 2, "view", 5)])
    assert filtered(twice, ExactDuplicates())[1] == [1]
    untimed = twice.with_columns(at=pl.when(pl.col("event") > 2).then("at"))
    with pytest.raises(InputError, match="needs the time of every event") as refusal:
        filtered(untimed, SessionsByGap())
    assert refusal.value.rows == 2


@settings(max_examples=40, deadline=None)
@given(drawn=rows, size=st.integers(1, 60), minutes=st.integers(1, 20), least=st.integers(2, 4))
def test_sessions_of_batches_are_those_of_the_whole_log(drawn, size, minutes, least):
    events = events_of(drawn)
    pause = pl.col("at") - pl.col("at").shift(1)
    begins = (pl.col("user") != pl.col("user").shift(1)) | (pause > pl.duration(minutes=minutes))
    whole = (
        events.sort("user", "at", "event")
        .with_columns(session=begins.fill_null(value=True).cast(pl.Int64).cum_sum())
        .sort("event")
    )
    assert filtered(events, SessionsByGap(minutes=minutes), size=size)[0].equals(whole)
    long = whole.filter(pl.len().over("session") >= least)
    assert filtered(events, SessionsByGap(minutes=minutes), SessionLength(least=least), size=size)[0].equals(long)


def test_events_without_a_session_are_in_no_long_one():
    events = events_of([(1, 1, "view", m) for m in range(4)]).with_columns(session=pl.Series([None, 1, 1, None]))
    assert filtered(events, SessionLength(), size=1)[0]["event"].to_list() == [2, 3]
