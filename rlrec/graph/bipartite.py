"""Users x items: positives and everything seen, as sparse matrices, as edges, and as one normalised graph."""

import warnings
from collections.abc import Sequence
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


def pairs(corpus: Corpus, splits: Sequence[str], protocol: str = PROTOCOL) -> pl.LazyFrame:
    """Distinct (user, item) of these splits with the highest value given; null where a behaviour carries none."""
    chosen = corpus.scan(SPLITS).filter(pl.col("protocol") == protocol, pl.col("split").is_in(list(splits)))
    events = corpus.scan(EVENTS).join(chosen.select("event"), on="event", how="semi")
    return events.group_by("user", "item").agg(value=pl.col("value").max(), unvalued=pl.col("value").is_null().any())


def matrix(corpus: Corpus, rows: pl.LazyFrame) -> sparse.csr_array:
    """Ones at the (user, item) rows; row and column 0 are padding."""
    shape = (len(corpus.vocabulary("user")), len(corpus.vocabulary("item")))
    cells = rows.select("user", "item").sort("user", "item").collect()
    ones = np.ones(len(cells), dtype=np.float32)
    return sparse.csr_array((ones, (cells["user"].to_numpy(), cells["item"].to_numpy())), shape=shape)


def positives(rows: pl.LazyFrame, positive_from: float) -> pl.LazyFrame:
    """The pairs that count as liked: a value of at least `positive_from`, or a behaviour that carries no value."""
    return rows.filter(pl.col("unvalued") | (pl.col("value") >= positive_from))


def interactions(
    corpus: Corpus, splits: Sequence[str], *, positive_from: float = POSITIVE_FROM, protocol: str = PROTOCOL
) -> sparse.csr_array:
    """Positive pairs of these splits as zeros and ones `[U, I]`, float32.

    Raises:
        InputError: none of the events of these splits is positive.
    """
    found = matrix(corpus, positives(pairs(corpus, splits, protocol), positive_from))
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
    return matrix(corpus, pairs(corpus, splits, protocol))


def edges(
    corpus: Corpus, splits: Sequence[str], *, positive_from: float = POSITIVE_FROM, protocol: str = PROTOCOL
) -> pl.DataFrame:
    """The positive pairs as rows of EDGES: source user, target item, weight 1."""
    rows = positives(pairs(corpus, splits, protocol), positive_from).select(
        source=pl.col("user"), relation=pl.lit(RELATION), target=pl.col("item"), weight=pl.lit(1.0)
    )
    return rows.cast(pl.Schema(EDGES.columns)).sort("source", "target").collect()


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
