"""What the pipeline learns from: positives and popularity, each held against the events that must not be in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from scipy import sparse

from rlrec.corpus import Corpus
from rlrec.graph.bipartite import edges, interactions
from rlrec.splits import WORLD
from rlrec.tables import EDGES, EVENTS, SPLITS
from tasks.artifacts import home
from tasks.database import assure, connect
from tasks.queries import LeakedCounts, LeakedEdges


def positives(tables: Corpus, slices: Sequence[str], positive_from: float) -> sparse.csr_array:
    """The positive pairs of these slices of the world.

    Raises:
        BrokenCheckError: one of them stands for no event of these slices.
    """
    liked = interactions(tables, slices, positive_from=positive_from)
    with scratch() as folder:
        schema = pl.DataFrame(schema=EDGES.schema).to_arrow().schema
        with pq.ParquetWriter(folder / "edges.parquet", schema) as file:
            for batch in edges(liked):
                file.write_table(batch.to_arrow())
        assure_edges(folder / "edges.parquet", tables, slices, folder)
    return liked


def popularity(tables: Corpus, liked: sparse.csr_array, slices: Sequence[str]) -> np.ndarray:
    """How many users liked each item [I].

    Raises:
        BrokenCheckError: an item counts more users than these slices have for it.
    """
    counts = np.asarray(liked.sum(axis=0), dtype=np.float32)
    with scratch() as folder:
        counted = pl.DataFrame({"item": np.arange(len(counts)), "users": counts})
        counted.write_parquet(folder / "counts.parquet")
        check = LeakedCounts(
            counts=folder / "counts.parquet", events=tables.path(EVENTS), splits=tables.path(SPLITS), protocol=WORLD,
            slices=tuple(slices),
        )  # fmt: skip
        with connect(folder) as connection:
            assure(check, connection)
    return counts


def assure_edges(stored: Path, tables: Corpus, slices: Sequence[str], folder: Path, part: float = 1.0) -> None:
    """Hold stored edges against the events of the slices that are learned from, with this part of the memory limit.

    Raises:
        BrokenCheckError: one of them stands for no such event.
    """
    check = LeakedEdges(
        edges=stored, events=tables.path(EVENTS), splits=tables.path(SPLITS), protocol=WORLD, slices=tuple(slices)
    )
    with connect(folder, part=part) as connection:
        assure(check, connection)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the time of a check."""
    home().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home()) as folder:
        yield Path(folder)
