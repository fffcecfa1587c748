"""Passes over events: in the order of their numbers, some at a time, as often as asked.

EVENTS are numbered in the order of time (of equal times, by user and item), so that one pass meets each user's events,
each item's and each session's in their order. What is held between batches is a number for each user, item or session.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from jaxtyping import Bool, Integer

EVENTS_AT_ONCE = 200_000

Events = Callable[..., Iterator[pl.DataFrame]]
"""Starts a pass: batches of events, in the order of `event`, with at least the columns named, or with all."""


def stored(file: Path) -> Events:
    """Passes over a Parquet file."""

    def batches(*columns: str) -> Iterator[pl.DataFrame]:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(EVENTS_AT_ONCE, columns=list(dict.fromkeys(columns)) or None):
                yield pl.DataFrame(batch)

    return batches


class Numbers:
    """A number for each id, whichever ids come."""

    def __init__(self, dtype: type = np.int32, start: int = 0) -> None:
        self.start = start
        self.of = np.full(1, start, dtype)

    def reach(self, ids: Integer[np.ndarray, "E"]) -> None:
        """Have a place for each of these ids."""
        if len(ids) and ids.max() >= len(self.of):
            more = max(int(ids.max()) + 1 - len(self.of), len(self.of))
            self.of = np.pad(self.of, (0, more), constant_values=self.start)

    def add(self, ids: Integer[np.ndarray, "E"], weights: Integer[np.ndarray, "E"] | int = 1) -> None:
        """Add each row's weight to the number of its id."""
        self.reach(ids)
        np.add.at(self.of, ids, np.asarray(weights, self.of.dtype))  # slow between types

    def before(self, ids: Integer[np.ndarray, "E"], weights: Integer[np.ndarray, "E"]) -> Integer[np.ndarray, "E"]:
        """The number of each row's id before the row; then add the rows, too."""
        self.reach(ids)
        rows = pl.DataFrame({"id": ids, "weight": weights})
        inside = rows.select((pl.col("weight").cum_sum() - pl.col("weight")).over("id")).to_series().to_numpy()
        found = self.of[ids] + inside
        self.of[ids] = found + weights  # of an id's rows the last one counts
        return found


def present(events: Events, kind: str) -> Bool[np.ndarray, "N"]:
    """Whether each id stands in the events."""
    found = Numbers(bool)
    for batch in events(kind):
        ids = batch[kind].to_numpy()
        found.reach(ids)
        found.of[ids] = True
    return found.of
