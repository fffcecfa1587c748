"""Leakage: proof that what is learned from was not made from what is tested on."""

from collections.abc import Collection

import polars as pl

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.tables import EVENTS, SPLITS

HELD_OUT = ("validation", "test")
EDGE = "user-item"


class LeakError(InputError):
    """Something for training knows what is held out."""


def held_out(corpus: Corpus, protocol: str, slices: Collection[str] = HELD_OUT) -> pl.LazyFrame:
    """The events of the held-out slices.

    Raises:
        InputError: the corpus does not know the protocol.
    """
    splits = corpus.scan(SPLITS).filter(pl.col("protocol") == protocol)
    if splits.head(1).collect().is_empty():
        raise InputError(
            f"the corpus has no protocol {protocol!r}", file=corpus.path(SPLITS), column="protocol", rows=0,
            remedy="name it in the splits of the mapping, or use one that is there",
        )  # fmt: skip
    chosen = splits.filter(pl.col("split").is_in(list(slices))).select("event")
    return corpus.scan(EVENTS).join(chosen, on="event", how="semi")


def assure_no_leak(
    corpus: Corpus,
    protocol: str,
    *,
    events: pl.LazyFrame | None = None,
    edges: pl.LazyFrame | None = None,
    popularity: pl.LazyFrame | None = None,
    slices: Collection[str] = HELD_OUT,
) -> None:
    """Hold training artifacts against the held-out slices of a protocol.

    `events`: rows used in training, by a table or by a propensity model, with `event`. `edges`: EDGES, of which
    `user-item` rows must be pairs that training has too. `popularity`: `item` and `count`; more than the training
    events of an item means that others were counted.

    Raises:
        LeakError: names what leaked and how many rows.
    """
    out = held_out(corpus, protocol, slices)
    training = corpus.scan(EVENTS).join(out.select("event"), on="event", how="anti")
    if events is not None:
        leaked(events.join(out.select("event"), on="event", how="semi"), "training rows are held-out events", "event")
    if edges is not None:
        pairs = edges.filter(pl.col("relation") == EDGE).select(user="source", item="target")
        unseen = pairs.join(training.select("user", "item").unique(), on=["user", "item"], how="anti")
        leaked(unseen, "edges stand for no training event", "target")
    if popularity is not None:
        known = training.group_by("item").agg(known=pl.len())
        counted = popularity.join(known, on="item", how="left")
        leaked(counted.filter(pl.col("count") > pl.col("known").fill_null(0)), "items count held-out events", "count")


def leaked(rows: pl.LazyFrame, problem: str, column: str) -> None:
    """Refuse rows that should not be.

    Raises:
        LeakError: there are some.
    """
    number = int(rows.select(pl.len()).collect().item())
    if number:
        raise LeakError(problem, column=column, rows=number, remedy="make it from the training slices of the protocol")
