"""Splits: which slice of the data each event belongs to, decided once, as the table SPLITS."""

from collections.abc import Sequence
from datetime import datetime
from fractions import Fraction
from itertools import accumulate
from math import lcm
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from rlrec.errors import InputError
from rlrec.tables import SPLITS

WORLD = "world"
WORLD_SLICES = ("train", "feedback", "validation", "test")
ROUNDING = 1e-9  # 0.1 of 30 is 3, whatever binary fractions say
LARGEST_DENOMINATOR = 1000  # a share is a decimal that somebody typed, not a measured quantity


def chronological_shares(
    events: pl.LazyFrame,
    *,
    positive_from: float,
    shares: Sequence[float] = (0.6, 0.2, 0.1, 0.1),
    names: Sequence[str] = WORLD_SLICES,
    minimum: int = 10,
    protocol: str = WORLD,
    seed: int = 0,
) -> pl.LazyFrame:
    """SPLITS: each user's positives in time order (ties by item id), the first share to the first slice and so on.

    The p-th of n positives (from 0) goes to the first slice with p / n < its cumulative share; any other event goes
    where a positive at its place would go. A user with fewer than `minimum` positives is in the first slice only.
    Without times a permutation drawn from `seed` stands for the order.

    Raises:
        InputError: only some events have a time.
    """
    untimed, total = events.select(pl.col("at").null_count(), pl.len()).collect().row(0)
    if 0 < untimed < total:
        raise InputError(
            "some events have no time, so their order is unknown",
            column="at",
            rows=untimed,
            remedy="give every event a time, or none",
        )
    order = ["user", "drawn"] if untimed else ["user", "at", "item", "event"]
    parts = [Fraction(share).limit_denominator(LARGEST_DENOMINATOR) for share in shares]
    whole = lcm(*(part.denominator for part in parts))
    bounds = [int(bound * whole) for bound in accumulate(parts)]
    positive = pl.col("value").is_null() | (pl.col("value") >= positive_from)
    placed = (
        events.sort("event")
        .with_columns(positive=positive.cast(pl.Int64), drawn=pl.int_range(pl.len()).shuffle(seed=seed))
        .sort(order)
        .with_columns(
            place=(pl.col("positive").cum_sum() - pl.col("positive")).over("user"),
            positives=pl.col("positive").sum().over("user"),
        )
    )
    split = pl.when(pl.col("positives") < minimum).then(pl.lit(names[0]))
    for bound, name in zip(bounds[:-1], names[:-1], strict=True):
        split = split.when(whole * pl.col("place") < bound * pl.col("positives")).then(pl.lit(name))
    return (
        placed.select("event", split=split.otherwise(pl.lit(names[-1])), protocol=pl.lit(protocol))
        .select(list(SPLITS.schema))
        .sort("event")
    )


class Section(BaseModel):
    """A protocol's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LeaveOneOut(Section):
    """Each user's last event is for test, the one before for validation; whoever has fewer than three only trains.

    Source: He et al. 2017 (NCF); Kang and McAuley 2018 (SASRec).
    """

    protocol: Literal["leave_one_out"] = "leave_one_out"


class UserFraction(Section):
    """Each user's events in order of time: the last ones for test, those before for validation."""

    protocol: Literal["user_fraction"] = "user_fraction"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of a user's events, rounded down."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of a user's events, rounded down."""


class GlobalTime(Section):
    """What happened from one moment on is for validation, from a later one on for test: the whole world at once."""

    protocol: Literal["global_time"] = "global_time"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the events; events of one moment stay together, in the later slice."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the events, the latest."""


class BySession(Section):
    """Whole sessions, in the order in which they begin: the last ones for test, those before for validation."""

    protocol: Literal["by_session"] = "by_session"
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the sessions."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the sessions."""


class ColdItems(Section):
    """Some items are cold: drawn from a seed, they have at most `support` training events, the rest is for test.

    With support 0 they are strictly cold, never seen in training; with more, nearly cold: their first events train.
    """

    protocol: Literal["cold_items"] = "cold_items"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the items."""
    support: Annotated[int, Field(ge=0)] = 0
    """Training events of a cold item."""
    seed: int = 0
    """Of the draw."""


class ColdUsers(Section):
    """Some users are new: drawn from a seed, their first events are `context`, known when they are served; the others
    are for test. Nothing of theirs is for training.
    """

    protocol: Literal["cold_users"] = "cold_users"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the users."""
    support: Annotated[int, Field(ge=0)] = 3
    """Events that are context."""
    seed: int = 0
    """Of the draw."""


Protocol = Annotated[
    LeaveOneOut | UserFraction | GlobalTime | BySession | ColdItems | ColdUsers, Field(discriminator="protocol")
]


def split(events: pl.LazyFrame, chosen: Protocol) -> pl.LazyFrame:
    """SPLITS of one protocol: every event in exactly one slice. Ties in time go by the number of the event.

    Raises:
        InputError: the protocol needs times or sessions, and some events have none.
    """
    placed = events.select("event", "user", "item", "session", "at")
    size = pl.len().over("user")
    back = size - order("user") - 1
    match chosen:
        case LeaveOneOut():
            name = (
                pl.when(size < 3).then(pl.lit("train"))
                .when(back == 0).then(pl.lit("test"))
                .when(back == 1).then(pl.lit("validation"))
                .otherwise(pl.lit("train"))
            )  # fmt: skip
        case UserFraction():
            test, validation = ((size * share + ROUNDING).floor() for share in (chosen.test, chosen.validation))
            name = latest(back, test, validation)
        case GlobalTime():
            needed(events, "at", "global_time")
            cuts = [quantile(events, 1 - chosen.test - chosen.validation), quantile(events, 1 - chosen.test)]
            name = (
                pl.when(pl.col("at") >= pl.lit(cuts[1])).then(pl.lit("test"))
                .when(pl.col("at") >= pl.lit(cuts[0])).then(pl.lit("validation"))
                .otherwise(pl.lit("train"))
            )  # fmt: skip
        case BySession():
            needed(events, "session", "by_session")
            sessions = events.group_by("session").agg(start=pl.col("at").min(), first=pl.col("event").min())
            ranked = sessions.sort("start", "first").with_row_index("rank").with_columns(count=pl.len())
            placed = placed.join(ranked.select("session", "rank", "count"), on="session", how="left")
            test, validation = (
                (pl.col("count") * share + ROUNDING).floor() for share in (chosen.test, chosen.validation)
            )
            name = latest(pl.col("count") - pl.col("rank").cast(pl.Int64) - 1, test, validation)
        case ColdItems():
            chosen_ids = drawn(events, "item", chosen.share, chosen.seed)
            placed = placed.with_columns(nth=order("item")).join(chosen_ids, on="item", how="left")
            name = cold(chosen.support, "train")
        case ColdUsers():
            chosen_ids = drawn(events, "user", chosen.share, chosen.seed)
            placed = placed.with_columns(nth=order("user")).join(chosen_ids, on="user", how="left")
            name = cold(chosen.support, "context")
    return placed.select("event", split=name, protocol=pl.lit(chosen.protocol)).sort("event")


def order(kind: str) -> pl.Expr:
    """The place of an event among those of its user or item, from 0, by time and number; UTC-less events first."""
    return pl.struct("at", "event").rank("ordinal").over(kind).cast(pl.Int64) - 1


def latest(back: pl.Expr, test: pl.Expr, validation: pl.Expr) -> pl.Expr:
    """The last ones are for test, those before for validation; `back` counts from the end."""
    return (
        pl.when(back < test).then(pl.lit("test"))
        .when(back < test + validation).then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
    )  # fmt: skip


def cold(support: int, first: str) -> pl.Expr:
    """The first events of what was drawn are support, the others test; all else is for training."""
    return (
        pl.when(pl.col("drawn").is_null()).then(pl.lit("train"))
        .when(pl.col("nth") < support).then(pl.lit(first))
        .otherwise(pl.lit("test"))
    )  # fmt: skip


def drawn(events: pl.LazyFrame, kind: str, share: float, seed: int) -> pl.LazyFrame:
    """A share of the users or items, at least one, drawn from a seed."""
    ids = events.select(pl.col(kind).unique()).sort(kind).collect().to_series()
    number = max(1, int(len(ids) * share + ROUNDING))
    return pl.LazyFrame({kind: ids.sample(min(number, len(ids)), seed=seed, shuffle=True), "drawn": True})


def quantile(events: pl.LazyFrame, share: float) -> datetime:
    """The time from which on the later events are at most 1 - share of all."""
    number = events.select(pl.len()).collect().item()
    place = min(number - 1, int(number * share + ROUNDING))
    return events.select(pl.col("at").sort().gather(place)).collect().item()


def needed(events: pl.LazyFrame, column: str, protocol: str) -> None:
    """Refuse events that lack what a protocol stands on."""
    lacking = events.select(pl.col(column).null_count()).collect().item()
    if lacking:
        raise InputError(
            f"the protocol {protocol} needs {column} of every event",
            column=column,
            rows=int(lacking),
            remedy="choose another protocol" + (", or the filter sessions_by_gap" if column == "session" else ""),
        )
