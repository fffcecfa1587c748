"""Filters: which events a corpus keeps. Explicit, applied in the order given, and each counts what it drops.

Events stay in Parquet: a filter is a lazy query over them, or holds numbers by user and by item, never the events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict, Field

from rlrec.errors import InputError

IDENTITY = ("user", "item", "behaviour", "value", "at", "session")


class Section(BaseModel):
    """A filter's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ExactDuplicates(Section):
    """Keep one of the events that are equal in user, item, behaviour, value, time and session; timed events only.

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


@dataclass(frozen=True)
class Dropped:
    """How many events a filter dropped."""

    filter: str
    rows: int


def apply(events: pl.LazyFrame, filters: Sequence[Filter], scratch: Path) -> tuple[pl.LazyFrame, list[Dropped]]:
    """The events that pass all filters, and what each dropped: rows in = rows out + all that was dropped.

    The result of each filter is kept in `scratch`, so that the next one starts from Parquet. `events` are EVENTS, in
    which `event` numbers the rows; only their order by it counts. Equal events that ingestion marked as `repeat` are
    believed.

    Raises:
        InputError: a filter needs times that some events lack.
    """
    dropped: list[Dropped] = []
    for place, chosen in enumerate(filters):
        before = height(events)
        target = scratch / f"filtered{place}.parquet"
        passed(events, chosen).sink_parquet(target)
        events = pl.scan_parquet(target)
        dropped.append(Dropped(chosen.filter, before - height(events)))
    return events, dropped


def passed(events: pl.LazyFrame, chosen: Filter) -> pl.LazyFrame:
    """The events that pass one filter."""
    match chosen:
        case ExactDuplicates():
            if "repeat" in events.collect_schema():  # ingestion marked them, in partitions that it had sorted
                return events.filter(~pl.col("repeat"))
            return events.filter(pl.col("at").is_null() | pl.struct(IDENTITY).is_first_distinct())
        case Behaviours():
            return events.filter(pl.col("behaviour").is_in(list(chosen.keep)))
        case DateRange():
            kept = pl.col("at").is_not_null()
            if chosen.since is not None:
                kept &= pl.col("at") >= moment(chosen.since)
            if chosen.until is not None:
                kept &= pl.col("at") < moment(chosen.until)
            return events.filter(kept)
        case SessionsByGap():
            return with_sessions(events, chosen.minutes)
        case SessionLength():
            long = (
                events.group_by("session").len().filter(pl.col("len") >= chosen.least, pl.col("session").is_not_null())
            )
            return events.join(long.select("session"), on="session", how="semi", maintain_order="left")
        case KCore():
            users, items = k_core(events, chosen.users, chosen.items, chosen.rounds)
            return events.filter(kept_ids("user", users), kept_ids("item", items))


def moment(at: datetime) -> pl.Expr:
    """A time as UTC."""
    literal = pl.lit(at)
    return literal.dt.replace_time_zone("UTC") if at.tzinfo is None else literal.dt.convert_time_zone("UTC")


def with_sessions(events: pl.LazyFrame, minutes: float) -> pl.LazyFrame:
    """Sessions from 1, by user and time; in the order of `event` again.

    Raises:
        InputError: some events have no time.
    """
    untimed = int(events.select(pl.col("at").null_count()).collect().item())
    if untimed:
        raise InputError(
            "sessions_by_gap needs the time of every event", column="at", rows=untimed, remedy="leave the filter out"
        )
    pause = pl.col("at") - pl.col("at").shift(1)
    begins = (pl.col("user") != pl.col("user").shift(1)) | (pause > pl.duration(seconds=round(60 * minutes)))
    return (
        events.sort("user", "at", "event")
        .with_columns(session=begins.fill_null(value=True).cast(pl.Int64).cum_sum())
        .sort("event")
    )


def k_core(
    events: pl.LazyFrame, least_items: int, least_users: int, rounds: int | None = None
) -> tuple[Bool[np.ndarray, "U"], Bool[np.ndarray, "I"]]:
    """Which users and which items stay. Holds the distinct pairs as two columns of int32, and no events."""
    pairs = events.select("user", "item").unique().collect()
    user, item = pairs["user"].to_numpy(), pairs["item"].to_numpy()
    size_user, size_item = (int(ids.max()) + 1 if len(ids) else 1 for ids in (user, item))
    users, items = np.ones(size_user, dtype=bool), np.ones(size_item, dtype=bool)
    done = 0
    while rounds is None or done < rounds:
        users_now = np.bincount(user, minlength=size_user) >= least_items
        items_now = np.bincount(item, minlength=size_item) >= least_users
        kept = users_now[user] & items_now[item]
        users, items, done = users & users_now, items & items_now, done + 1
        if kept.all():
            break
        user, item = user[kept], item[kept]
    return users, items


def kept_ids(column: str, kept: Bool[np.ndarray, "N"]) -> pl.Expr:
    """Whether a dense id is kept."""
    return pl.lit(pl.Series(column, kept)).gather(pl.col(column))


def height(events: pl.LazyFrame) -> int:
    """How many rows."""
    return int(events.select(pl.len()).collect().item())
