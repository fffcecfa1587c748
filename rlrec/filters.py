"""Filters: which events a corpus keeps. Explicit, applied in the order given, and each counts what it drops.

A filter turns a pass over events (`rlrec.passes`) into a pass over those that it keeps. Some must first go through all
of them, and hold numbers by user, item or session meanwhile, never the events.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Integer
from pydantic import BaseModel, ConfigDict, Field

from rlrec.errors import InputError
from rlrec.passes import Events, Numbers, present

LONG_AGO = -(1 << 62)  # in microseconds
SECOND = 1_000_000  # microseconds


class Section(BaseModel):
    """A filter's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ExactDuplicates(Section):
    """Keep one of the events that are equal in user, item, behaviour, value, time and session; timed events only.
    Ingestion has marked the others, as `repeat`, in partitions that it had sorted.

    Off unless asked for: two equal clicks in one second may be real.
    """

    filter: Literal["exact_duplicates"] = "exact_duplicates"


class Behaviours(Section):
    """Keep these behaviours."""

    filter: Literal["behaviours"] = "behaviours"
    keep: Annotated[tuple[str, ...], Field(min_length=1)]
    """Their names."""


class DateRange(Section):
    """Keep events of a span of time; events without a time are dropped."""

    filter: Literal["date_range"] = "date_range"
    since: datetime | None = None
    """From here on, UTC where no zone is given."""
    until: datetime | None = None
    """Up to here, not included."""


class SessionsByGap(Section):
    """Number sessions anew: one ends where its user pauses longer than a gap. Drops nothing; needs times."""

    filter: Literal["sessions_by_gap"] = "sessions_by_gap"
    minutes: Annotated[float, Field(gt=0)] = 30.0
    """The longest pause within a session."""


class SessionLength(Section):
    """Keep sessions of at least so many events; events without a session are dropped."""

    filter: Literal["session_length"] = "session_length"
    least: Annotated[int, Field(ge=2)] = 2
    """Events in a session."""


class KCore(Section):
    """Keep the largest set in which every user has so many items and every item so many users, by distinct pairs.

    Source: the k-core of a graph, Seidman 1983, for two kinds of nodes, as the 5-core sets of the field.
    """

    filter: Literal["k_core"] = "k_core"
    users: Annotated[int, Field(ge=1)] = 5
    """Distinct items of a user."""
    items: Annotated[int, Field(ge=1)] = 5
    """Distinct users of an item."""
    rounds: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many rounds; until nothing changes when absent."""


Filter = Annotated[
    ExactDuplicates | Behaviours | DateRange | SessionsByGap | SessionLength | KCore, Field(discriminator="filter")
]


Distinct = Callable[[Events], Events]
"""Gives each pair of user and item of the events once, in any order."""


def apply(events: Events, filters: Sequence[Filter], distinct: Distinct) -> tuple[Events, dict[int, int]]:
    """Passes over the events that all filters keep; and how many rows each filter let through in the newest pass, by
    its place from 1, with all that there are at 0. `events` have the columns of EVENTS, and `repeat`.

    Raises:
        InputError: a filter needs times that some events lack.
    """
    rows: dict[int, int] = {}
    events = counted(events, rows, 0)
    for place, chosen in enumerate(filters, 1):
        events = counted(passed(events, chosen, distinct), rows, place)
    return events, rows


def counted(events: Events, rows: dict[int, int], place: int) -> Events:
    """The same events; each pass leaves its number of rows."""

    def batches(*columns: str) -> Iterator[pl.DataFrame]:
        rows[place] = 0
        for batch in events(*columns):
            rows[place] += batch.height
            yield batch

    return batches


def passed(events: Events, chosen: Filter, distinct: Distinct) -> Events:
    """The events that pass one filter."""
    match chosen:
        case ExactDuplicates():
            return where(events, ~pl.col("repeat"))
        case Behaviours():
            return where(events, pl.col("behaviour").is_in(list(chosen.keep)))
        case DateRange():
            kept = pl.col("at").is_not_null()
            if chosen.since is not None:
                kept &= pl.col("at") >= moment(chosen.since)
            if chosen.until is not None:
                kept &= pl.col("at") < moment(chosen.until)
            return where(events, kept)
        case SessionsByGap():
            return with_sessions(events, chosen.minutes)
        case SessionLength():
            sizes = Numbers()
            for batch in events("session"):
                sizes.add(batch["session"].drop_nulls().to_numpy())
            return where(events, kept_ids("session", sizes.of >= chosen.least))
        case KCore():
            users, items = k_core(distinct(events), chosen.users, chosen.items, chosen.rounds)
            return where(events, kept_ids("user", users) & kept_ids("item", items))


def where(events: Events, kept: pl.Expr) -> Events:
    """The events for which an expression holds."""
    needed = kept.meta.root_names()
    return lambda *columns: (batch.filter(kept) for batch in events(*columns, *(needed if columns else ())))


def moment(at: datetime) -> pl.Expr:
    """A time as UTC."""
    literal = pl.lit(at)
    return literal.dt.replace_time_zone("UTC") if at.tzinfo is None else literal.dt.convert_time_zone("UTC")


def with_sessions(events: Events, minutes: float) -> Events:
    """Sessions from 1, by user and time: a first pass counts each user's.

    Raises:
        InputError: some events have no time.
    """
    gap = round(60 * minutes) * SECOND
    sessions, untimed = Numbers(), 0
    for batch, begins in beginnings(events, gap, "user"):
        sessions.add(batch["user"].to_numpy(), begins)
        untimed += batch["at"].null_count()
    if untimed:
        raise InputError(
            "sessions_by_gap needs the time of every event", column="at", rows=untimed, remedy="leave the filter out"
        )
    others = np.cumsum(sessions.of, dtype=np.int64) - sessions.of

    def batches(*columns: str) -> Iterator[pl.DataFrame]:
        own = Numbers()
        for batch, begins in beginnings(events, gap, *columns):
            user = batch["user"].to_numpy()
            session = others[user] + own.before(user, begins) + begins
            yield batch.with_columns(session=pl.Series(session, dtype=pl.Int64))

    return batches


def beginnings(events: Events, gap: int, *columns: str) -> Iterator[tuple[pl.DataFrame, Integer[np.ndarray, "E"]]]:
    """Batches, with 1 for each event that comes more than `gap` microseconds after its user's one before, else 0."""
    latest = Numbers(np.int64, LONG_AGO)
    before = pl.col("at").to_physical().shift(1).over("user")
    for batch in events(*columns, *(("user", "at") if columns else ())):
        user = batch["user"].to_numpy()
        latest.reach(user)
        earlier = batch.select(before.fill_null(pl.Series(latest.of[user]))).to_series().to_numpy()
        at = batch["at"].to_physical().fill_null(0).to_numpy()
        latest.of[user] = at  # of a user's events the last one counts
        yield batch, (at - earlier > gap).astype(np.int32)


def k_core(
    pairs: Events, least_items: int, least_users: int, rounds: int | None = None
) -> tuple[Bool[np.ndarray, "U"], Bool[np.ndarray, "I"]]:
    """Which users and which items stay, by distinct pairs; a pass for each round."""
    users, items = present(pairs, "user"), present(pairs, "item")
    done = 0
    while rounds is None or done < rounds:
        of_user, of_item = np.zeros(len(users), dtype=np.int32), np.zeros(len(items), dtype=np.int32)
        for batch in pairs():
            user, item = batch["user"].to_numpy(), batch["item"].to_numpy()
            kept = users[user] & items[item]
            np.add.at(of_user, user[kept], np.int32(1))
            np.add.at(of_item, item[kept], np.int32(1))
        before = users.sum() + items.sum()
        users, items, done = of_user >= least_items, of_item >= least_users, done + 1
        if users.sum() + items.sum() == before:
            break
    return users, items


def kept_ids(column: str, kept: Bool[np.ndarray, "N"]) -> pl.Expr:
    """Whether a dense id is kept."""
    return pl.lit(pl.Series(column, kept)).gather(pl.col(column))
