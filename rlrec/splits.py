"""Splits: which slice of the data each event belongs to, decided once, as the table SPLITS."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from math import lcm

import polars as pl

from rlrec.errors import InputError
from rlrec.tables import SPLITS

WORLD = "world"
WORLD_SLICES = ("train", "feedback", "validation", "test")
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
