"""Users x items: positives and everything seen, as sparse matrices, as edges, and as one normalised graph."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import polars as pl
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.tables import EDGES, EVENTS, SPLITS

PROTOCOL = "world"
POSITIVE_FROM = 4.0  # of five stars; the world's definition of "liked"
RELATION = "user-item"
BATCH = 1 << 18  # rows held at once
ITEM_BITS = 32  # of the number that stands for a pair; the user is above them
ITEM = (1 << ITEM_BITS) - 1


def interactions(
    corpus: Corpus, splits: Sequence[str], *, positive_from: float = POSITIVE_FROM, protocol: str = PROTOCOL
) -> sparse.csr_array:
    """Positive pairs of these splits as zeros and ones `[U, I]`, float32.

    A pair is positive when one of its events has a value of at least `positive_from`, or carries no value.

    Raises:
        InputError: none of the events of these splits is positive.
    """
    positive = pl.col("value").is_null() | (pl.col("value") >= positive_from)
    found = matrix(corpus, splits, protocol, corpus.scan(EVENTS).filter(positive))
    if found.nnz == 0:
        raise InputError(
            f"no positive events in the splits {', '.join(splits)} of the protocol {protocol}",
            file=corpus.path(EVENTS),
            column="value",
            rows=0,
            remedy=f"check the names of the splits, or lower positive_from (now {positive_from:g})",
        )
    return found


def seen(corpus: Corpus, splits: Sequence[str], protocol: str = PROTOCOL) -> sparse.csr_array:
    """All pairs of these splits, whatever their value, as zeros and ones `[U, I]`: what is not recommended again."""
    return matrix(corpus, splits, protocol, corpus.scan(EVENTS))


def matrix(corpus: Corpus, splits: Sequence[str], protocol: str, events: pl.LazyFrame) -> sparse.csr_array:
    """Ones at the distinct (user, item) of those events that are in these splits; row and column 0 are padding.

    Two passes over the events, one batch at a time: rows are counted, then filled in place; then repeats are dropped.
    At its peak it holds 4 bytes an event and a byte an event number, or 8 bytes a distinct pair.
    """
    users, items = corpus.size("user"), corpus.size("item")
    inside = membership(corpus, splits, protocol)

    def keys() -> Iterator[np.ndarray]:
        for batch in batches(events.select("event", "user", "item")):
            kept = inside(batch["event"].to_numpy())
            yield ordered(batch["user"].to_numpy()[kept], batch["item"].to_numpy()[kept])

    length = np.zeros(users, dtype=np.int64)
    for key in keys():
        np.add.at(length, key >> ITEM_BITS, 1)
    start = np.concatenate([[0], np.cumsum(length)])
    columns, free = np.empty(start[-1], dtype=np.int32), start[:-1].copy()
    for key in keys():
        user = key >> ITEM_BITS
        first = np.flatnonzero(np.diff(user, prepend=-1))
        run = np.diff(first, append=len(user))
        columns[np.arange(len(user)) + np.repeat(free[user[first]] - first, run)] = key & ITEM
        free[user[first]] += run
    del inside, free
    filled = 0
    for rows in consecutive(length, BATCH):
        user = np.repeat(np.arange(rows.start, rows.stop), length[rows])
        key = ordered(user, columns[start[rows.start] : start[rows.stop]])
        key = key[np.diff(key, prepend=-1) > 0]
        length[rows] = np.bincount((key >> ITEM_BITS) - rows.start, minlength=rows.stop - rows.start)
        columns[filled : filled + len(key)] = key & ITEM
        filled += len(key)
    columns.resize(filled, refcheck=False)  # gives the memory of the repeats back
    start = np.concatenate([[0], np.cumsum(length)]).astype(sparse.get_index_dtype(maxval=filled))
    return sparse.csr_array((np.ones(filled, dtype=np.float32), columns, start), shape=(users, items))


def membership(corpus: Corpus, splits: Sequence[str], protocol: str) -> Callable[[np.ndarray], np.ndarray]:
    """Which event numbers are in these splits: a byte for each number or a sorted list, whichever is smaller."""
    chosen = pl.col("protocol") == protocol, pl.col("split").is_in(list(splits))
    rows = corpus.scan(SPLITS).filter(*chosen).select("event")
    count, least, most = rows.select(count=pl.len(), least=pl.min("event"), most=pl.max("event")).collect().row(0)
    if count == 0:
        return lambda events: np.zeros(len(events), dtype=bool)
    if least >= 0 and most < count * np.dtype(np.int64).itemsize:
        flags = np.zeros(most + 2, dtype=bool)
        for batch in batches(rows):
            flags[batch["event"].to_numpy()] = True
        return lambda events: flags[np.clip(events, -1, most + 1)]
    numbers = rows.sort("event").collect()["event"].to_numpy()
    return lambda events: numbers[np.minimum(np.searchsorted(numbers, events), count - 1)] == events


def batches(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows, `BATCH` at a time, in any order."""
    return rows.collect_batches(chunk_size=BATCH, maintain_order=False, lazy=True)


def ordered(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """One number for each pair, ascending by user, then item."""
    key = users.astype(np.int64) << ITEM_BITS
    key |= items
    key.sort()
    return key


def consecutive(cost: np.ndarray, most: float) -> Iterator[slice]:
    """Consecutive rows, together of at most this cost; a row that alone costs more stands alone."""
    total = np.cumsum(cost, dtype=np.float64)
    start = 0
    while start < len(cost):
        before = total[start - 1] if start else 0.0
        stop = max(start + 1, int(np.searchsorted(total, before + most, side="right")))
        yield slice(start, stop)
        start = stop


def edges(liked: sparse.csr_array) -> Iterator[pl.DataFrame]:
    """The pairs as rows of EDGES, in batches: source user, target item, weight 1; ascending."""
    length = np.diff(liked.indptr)
    for rows in consecutive(length, BATCH):
        source = np.repeat(np.arange(rows.start, rows.stop), length[rows])
        target = liked.indices[liked.indptr[rows.start] : liked.indptr[rows.stop]]
        yield edge_rows(RELATION, source, target, np.ones(len(target)))


def edge_rows(relation: str, source: np.ndarray, target: np.ndarray, weight: np.ndarray) -> pl.DataFrame:
    """Rows of EDGES of one relation."""
    frame = pl.DataFrame({"source": source, "target": target, "weight": weight})
    return frame.select("source", pl.lit(relation).alias("relation"), "target", "weight").cast(pl.Schema(EDGES.columns))


def shape_of(matrix: sparse.csr_array) -> tuple[int, int]:
    """Rows and columns; SciPy ships no types, and its shape is inferred as None."""
    rows, columns = cast(tuple[int, int], matrix.shape)
    return rows, columns


def inverse_root(degree: np.ndarray) -> np.ndarray:
    """d^-½, and 0 where the degree is 0."""
    return np.divide(1.0, np.sqrt(degree), out=np.zeros_like(degree, dtype=np.float64), where=degree > 0)


def csr_tensor(matrix: sparse.csr_array) -> Tensor:
    """A SciPy CSR matrix as a float32 sparse CSR tensor."""
    matrix.sort_indices()
    start, column = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
    parts = (torch.from_numpy(part) for part in (start, column, matrix.data.astype(np.float32)))
    with warnings.catch_warnings():  # torch announces once in a process that CSR tensors are in beta
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(*parts, size=matrix.shape, check_invariants=True)


def normalised(interactions: sparse.csr_array) -> sparse.csr_array:
    """R̃ = D_U^-½ R D_I^-½, float64."""
    left = sparse.diags_array(inverse_root(interactions.sum(axis=1)))
    right = sparse.diags_array(inverse_root(interactions.sum(axis=0)))
    return sparse.csr_array(left @ interactions.astype(np.float64) @ right)


def normalised_adjacency(interactions: sparse.csr_array) -> Float[Tensor, "N N"]:
    """Â = D^-½ A D^-½ of the graph of users, then items: sparse CSR, float32, symmetric.

    Node u is user u, node U + i is item i. The largest eigenvalue is 1.
    Source: He et al., "LightGCN", SIGIR 2020, eq. 8.
    """
    block = normalised(interactions)
    return csr_tensor(sparse.csr_array(sparse.block_array([[None, block], [block.T, None]], format="csr")))
