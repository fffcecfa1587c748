"""Do the links of a knowledge graph join it to the right items? Measured by what is known of the items themselves."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
from scipy import sparse

from tasks import queries
from tasks.database import run

LARGEST_NODE = 10  # a director, a writer, a small studio; a country says nothing about a film
MOST_PAIRS = 20_000  # enough for a deviation of 0.005; more would only take time
LEAST_PAIRS = 200  # with fewer, right links can look like chance (lift 0.1, spread 0.32 a pair, pairs overlap)
LEAST_SCORE = 3.0  # standard deviations; ML-1M's ids read as ML-1M give 21, read as ML-100K 0.4
PERMUTATIONS = 100
SEED = 0


@dataclass(frozen=True)
class Agreement:
    """How alike in category items are that share a node: mean cosine, the mean over any two linked items, and z.

    Without `score` the links could not be judged: too few pairs, or all items are alike.
    """

    pairs: int
    shared: float | None = None
    any_two: float | None = None
    score: float | None = None

    @property
    def fits(self) -> bool:
        """Whether the links may be used: they agree better than chance, or nothing speaks against them."""
        return self.score is None or self.score >= LEAST_SCORE


def agreement(
    items: tuple[str, ...],
    links: tuple[str, ...],
    knowledge: tuple[str, ...],
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
    *,
    no_genre: str,
) -> Agreement:
    """z = (mean cosine of joined pairs - mean over all pairs) / its standard deviation when items are permuted.

    Links that carry ids of another catalogue permute the items, so they give a z like any permutation's.
    """
    query = queries.LinkedPairs(
        items=items,
        links=links,
        knowledge=knowledge,
        no_genre=no_genre,
        largest_node=LARGEST_NODE,
        most_pairs=MOST_PAIRS,
    )
    found = run(query, scratch / "linked_pairs.parquet", connection)
    if found < LEAST_PAIRS:
        return Agreement(found)
    ids, directions = category_directions(items, links, no_genre)
    pairs = pl.read_parquet(scratch / "linked_pairs.parquet")
    one, other = (np.searchsorted(ids, pairs[name].to_numpy()) for name in ("one_id", "other_id"))
    shared = mean_cosine(directions, one, other)
    total = np.asarray(directions.sum(axis=0)).ravel()
    any_two = float((total @ total - len(ids)) / (len(ids) * (len(ids) - 1)))
    draw = np.random.default_rng(SEED)
    turns = (draw.permutation(len(ids)) for _ in range(PERMUTATIONS))
    deviation = float(np.std([mean_cosine(directions, turn[one], turn[other]) for turn in turns], ddof=1))
    score = (shared - any_two) / deviation if deviation > np.finfo(np.float32).eps else None
    return Agreement(found, shared, any_two, score)


def category_directions(
    items: tuple[str, ...], links: tuple[str, ...], no_genre: str
) -> tuple[np.ndarray, sparse.csr_array]:
    """The linked items that have a category, ascending, and for each its categories as a vector of length 1."""
    linked = pl.scan_parquet(list(links)).select("item_external")
    cells = (
        pl.scan_parquet(list(items))
        .join(linked, on="item_external", how="semi")
        .select("item_external", "categories")
        .explode("categories")
        .filter(pl.col("categories").is_not_null() & (pl.col("categories") != no_genre))
        .unique()
        .sort("item_external", "categories")
        .collect()
    )
    ids, row, counts = np.unique(cells["item_external"].to_numpy(), return_inverse=True, return_counts=True)
    names, column = np.unique(cells["categories"].to_numpy(), return_inverse=True)
    return ids, sparse.csr_array((1 / np.sqrt(counts[row]), (row, column)), shape=(len(ids), len(names)))


def mean_cosine(directions: sparse.csr_array, one: np.ndarray, other: np.ndarray) -> float:
    """The mean over pairs of rows."""
    return float((directions[one] * directions[other]).sum() / len(one))
