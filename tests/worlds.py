"""A seeded corpus with latent structure, written as Parquet tables straight from their schemas."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from rlrec.corpus import Corpus
from rlrec.tables import EVENTS, ITEMS, SPLITS, TRIPLES, VOCABULARY, Table

BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
SLICES = (("train", 6), ("feedback", 8), ("validation", 9), ("test", 10))  # ends in tenths of a user's positives
FEWEST = 10  # positives a user needs to be sliced at all


def write(folder: Path, table: Table, frame: pl.DataFrame) -> None:
    """One table, in its schema."""
    folder.mkdir(parents=True, exist_ok=True)
    frame.select(pl.col(name).cast(dtype) for name, dtype in table.columns.items()).write_parquet(
        folder / f"{table.name}.parquet"
    )


def world_slices(events: pl.DataFrame, positive_from: float = 4.0) -> pl.DataFrame:
    """SPLITS of the world's protocol; what is not positive goes with the slice of the next positive of its user."""
    ordered = events.sort("user", "at", "item").with_columns(
        positive=(pl.col("value").is_null() | (pl.col("value") >= positive_from)).cast(pl.Int64)
    )
    place = ordered.with_columns(
        number=pl.col("positive").sum().over("user"),
        before=(pl.col("positive").cum_sum() - pl.col("positive")).over("user"),
    )
    tenths = 10 * pl.min_horizontal(pl.col("before"), pl.col("number") - 1)
    split = pl.when(pl.col("number") < FEWEST).then(pl.lit("train"))
    for name, end in SLICES:
        split = split.when(tenths < end * pl.col("number")).then(pl.lit(name))
    return place.select("event", split=split, protocol=pl.lit("world")).sort("event")


def write_corpus(
    folder: Path,
    events: pl.DataFrame,
    *,
    users: int,
    items: int,
    categories: Sequence[Sequence[str]],
    triples: pl.DataFrame | None = None,
    entities: Sequence[str] = (),
) -> Corpus:
    """A corpus folder from events (event, user, item, value, at) and the categories of items 1, 2, ..."""
    write(folder, EVENTS, events.with_columns(session=pl.lit(None), behaviour=pl.lit("rating")))
    write(folder, SPLITS, world_slices(events))
    item = list(range(1, items + 1))
    write(
        folder,
        ITEMS,
        pl.DataFrame(
            {
                "item": item,
                "title": [f"Item {i}" for i in item],
                "year": 2000,
                "categories": [list(c) for c in categories],
            },
        ),
    )
    kinds = {"user": [str(u) for u in range(1, users + 1)], "item": [str(i) for i in item], "entity": list(entities)}
    rows = [(kind, name, place) for kind, names in kinds.items() for place, name in enumerate(names, 1)]
    write(folder, VOCABULARY, pl.DataFrame(rows, schema=["kind", "external", "id"], orient="row"))
    if triples is not None:
        write(folder, TRIPLES, triples)
    return Corpus.of(folder)


def small_world(folder: Path, *, users: int = 60, items: int = 50, seed: int = 0, groups: int = 4) -> Corpus:
    """Users and items of `groups` tastes: own-taste items are rated more often and higher; genres tell the taste."""
    random = np.random.default_rng(seed)
    taste, genre = random.integers(groups, size=users), random.integers(groups, size=items)
    appeal = random.normal(scale=0.7, size=items)
    events: list[tuple[int, int, float, datetime]] = []
    for user in range(users):
        match = 2.0 * (genre == taste[user]) + appeal
        chance = np.exp(match) / np.exp(match).sum()
        rated = random.choice(items, size=random.integers(items // 4, items // 2), replace=False, p=chance)
        stars = np.clip(np.round(3.0 + 0.8 * match[rated] + random.normal(scale=0.5, size=len(rated))), 1, 5)
        start = BEGIN + timedelta(days=int(random.integers(300)))
        events += [
            (user + 1, int(i) + 1, float(s), start + timedelta(hours=t))
            for t, (i, s) in enumerate(zip(rated, stars, strict=True))
        ]
    frame = pl.DataFrame(events, schema=["user", "item", "value", "at"], orient="row").sort("at", "user", "item")
    frame = frame.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC"))).with_row_index("event", offset=1)
    triples = pl.DataFrame(
        {
            "head_kind": "item",
            "head": np.arange(1, items + 1),
            "relation": "item.genre",
            "tail_kind": "entity",
            "tail": genre + 1,
        }
    )
    names = [f"genre:{g}" for g in range(groups)]
    return write_corpus(
        folder, frame, users=users, items=items, categories=[[names[g]] for g in genre], triples=triples, entities=names
    )
