"""Splits: which slice of the data each event belongs to, decided once, as the table SPLITS.

The events of a pass stand in the order of time (`rlrec.passes`); SPLITS come out batch by batch.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate
from math import lcm
from typing import Annotated, Literal

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Integer
from pydantic import BaseModel, ConfigDict, Field

from rlrec.errors import InputError
from rlrec.passes import Events, Numbers, present

WORLD = "world"
WORLD_SLICES = ("train", "feedback", "validation", "test")
SLICES = ("train", "validation", "test")
ROUNDING = 1e-9  # 0.1 of 30 is 3, whatever binary fractions say
LARGEST_DENOMINATOR = 1000  # a share is a decimal that somebody typed, not a measured quantity

Count = Integer[np.ndarray, "N"] | Float[np.ndarray, "N"] | float


def chronological_shares(
    events: Events,
    *,
    positive_from: float,
    shares: Sequence[float] = (0.6, 0.2, 0.1, 0.1),
    names: Sequence[str] = WORLD_SLICES,
    minimum: int = 10,
    protocol: str = WORLD,
) -> Iterator[pl.DataFrame]:
    """SPLITS: each user's positives in the order of the pass, the first share to the first slice and so on.

    The p-th of n positives (from 0) goes to the first slice with p / n < its cumulative share; any other event goes
    where a positive at its place would go. A user with fewer than `minimum` positives is in the first slice only.
    """
    parts = [Fraction(share).limit_denominator(LARGEST_DENOMINATOR) for share in shares]
    whole = lcm(*(part.denominator for part in parts))
    bounds = [int(bound * whole) for bound in accumulate(parts)]
    positive = pl.col("value").is_null() | (pl.col("value") >= positive_from)
    positives, places = Numbers(), Numbers()
    for batch in events("user", "value"):
        positives.add(batch["user"].to_numpy(), batch.select(positive.cast(pl.Int32)).to_series().to_numpy())
    for batch in events("event", "user", "value"):
        user = batch["user"].to_numpy()
        place = places.before(user, batch.select(positive.cast(pl.Int32)).to_series().to_numpy()).astype(np.int64)
        number = positives.of[user].astype(np.int64)
        reached = sum((whole * place >= bound * number).astype(np.int8) for bound in bounds[:-1])
        yield sliced(batch, np.where(number < minimum, 0, reached), names, protocol)


def untimed(events: Events) -> bool:
    """Whether no event has a time.

    Raises:
        InputError: only some have one.
    """
    lacking = total = 0
    for batch in events("at"):
        lacking, total = lacking + batch["at"].null_count(), total + batch.height
    if 0 < lacking < total:
        raise InputError(
            "some events have no time, so their order is unknown",
            column="at",
            rows=lacking,
            remedy="give every event a time, or none",
        )
    return lacking > 0


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


def split(events: Events, chosen: Protocol) -> Iterator[pl.DataFrame]:
    """SPLITS of one protocol: every event in exactly one slice, in the order of the pass.

    Raises:
        InputError: the protocol needs times or sessions, and some events have none.
    """
    match chosen:
        case LeaveOneOut() | UserFraction():
            return by_user(events, chosen)
        case GlobalTime():
            return by_time(events, chosen)
        case BySession():
            return by_session(events, chosen)
        case ColdItems():
            return cold(events, "item", ("train", "train", "test"), chosen)
        case ColdUsers():
            return cold(events, "user", ("train", "context", "test"), chosen)


def by_user(events: Events, chosen: LeaveOneOut | UserFraction) -> Iterator[pl.DataFrame]:
    """A pass to count each user's events, and one to place them."""
    sizes, places = Numbers(), Numbers()
    for batch in events("user"):
        sizes.add(batch["user"].to_numpy())
    for batch in events("event", "user"):
        user = batch["user"].to_numpy()
        size = sizes.of[user]
        back = size - places.before(user, np.ones_like(user)) - 1
        match chosen:
            case LeaveOneOut():
                found = np.where(size < 3, 0, latest(back, 1, 1))
            case UserFraction():
                found = latest(back, share_of(size, chosen.test), share_of(size, chosen.validation))
        yield sliced(batch, found, SLICES, chosen.protocol)


def by_time(events: Events, chosen: GlobalTime) -> Iterator[pl.DataFrame]:
    """The events of each moment in one slice: that of the first of the events that a share would hold out."""
    needed(events, "at", chosen.protocol)
    number = sum(batch.height for batch in events("event"))
    earlier = (1 - chosen.test - chosen.validation, 1 - chosen.test)
    cuts = [min(number - 1, max(0, int(number * share + ROUNDING))) for share in earlier]
    moments, start = [np.iinfo(np.int64).max] * len(cuts), 0
    for batch in events("at"):
        for which, cut in enumerate(cuts):
            if start <= cut < start + batch.height:
                moments[which] = int(batch["at"].to_physical()[cut - start])
        start += batch.height
    for batch in events("event", "at"):
        at = batch["at"].to_physical().to_numpy()
        yield sliced(batch, np.searchsorted(moments, at, side="right"), SLICES, chosen.protocol)


def by_session(events: Events, chosen: BySession) -> Iterator[pl.DataFrame]:
    """Sessions are counted as they begin, in a first pass; the second gives each its slice, as it begins."""
    needed(events, "session", chosen.protocol)
    begun = present(events, "session")
    number = int(begun.sum())
    test, validation = (share_of(number, share) for share in (chosen.test, chosen.validation))
    slices, rank = np.full(len(begun), -1, dtype=np.int8), 0
    for batch in events("event", "session"):
        fresh = batch["session"].unique(maintain_order=True).to_numpy()
        fresh = fresh[slices[fresh] < 0]
        slices[fresh] = latest(number - 1 - np.arange(rank, rank + len(fresh)), test, validation)
        rank += len(fresh)
        yield sliced(batch, slices[batch["session"].to_numpy()], SLICES, chosen.protocol)


def cold(
    events: Events, kind: str, names: tuple[str, str, str], chosen: ColdItems | ColdUsers
) -> Iterator[pl.DataFrame]:
    """The first events of what was drawn are support, its others test; all else is for training."""
    drawn, places = draw(events, kind, chosen.share, chosen.seed), Numbers()
    for batch in events("event", kind):
        ids = batch[kind].to_numpy()
        later = places.before(ids, np.ones_like(ids)) >= chosen.support
        yield sliced(batch, np.where(drawn[ids], 1 + later, 0), names, chosen.protocol)


def sliced(batch: pl.DataFrame, found: Integer[np.ndarray, "E"], names: Sequence[str], protocol: str) -> pl.DataFrame:
    """SPLITS of a batch: its events, each with the name of the slice that was found."""
    return batch.select("event", split=pl.lit(pl.Series(names)).gather(pl.Series(found)), protocol=pl.lit(protocol))


def latest(back: Integer[np.ndarray, "N"], test: Count, validation: Count) -> Integer[np.ndarray, "N"]:
    """The place in SLICES: the last ones are for test, those before for validation; `back` counts from the end."""
    return np.where(back < test, 2, np.where(back < test + validation, 1, 0))


def share_of(number: Count, share: float) -> Count:
    """A share, rounded down."""
    return np.floor(number * share + ROUNDING)


def draw(events: Events, kind: str, share: float, seed: int) -> Bool[np.ndarray, "N"]:
    """A share of the users or items, at least one, drawn from a seed: whether each id is among them."""
    known = present(events, kind)
    ids = pl.Series(np.flatnonzero(known))
    number = max(1, int(len(ids) * share + ROUNDING))
    drawn = np.zeros_like(known)
    drawn[ids.sample(min(number, len(ids)), seed=seed, shuffle=True).to_numpy()] = True
    return drawn


def needed(events: Events, column: str, protocol: str) -> None:
    """Refuse events that lack what a protocol stands on."""
    lacking = sum(batch[column].null_count() for batch in events(column))
    if lacking:
        raise InputError(
            f"the protocol {protocol} needs {column} of every event",
            column=column,
            rows=lacking,
            remedy="choose another protocol" + (", or the filter sessions_by_gap" if column == "session" else ""),
        )
