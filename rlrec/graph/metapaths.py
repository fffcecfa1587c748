"""Item neighbourhoods along meta-paths: item-user-item, and item-relation-item through shared nodes of a graph."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float32, Int32
from scipy import sparse

from rlrec.corpus import Corpus
from rlrec.graph.bipartite import POSITIVE_FROM, PROTOCOL, interactions, inverse_root, shape_of
from rlrec.graph.knowledge import incidences
from rlrec.tables import EDGES

NEIGHBOURS = 20
MOST_RELATIONS = 4  # a weight is learned for each path; the relations after these reach few items
HUB_SHARE = 0.1  # a node on more items than this share tells none of them apart, and does not count as coverage
BLOCK = 2048  # rows of a product held at once
CO_OCCURRENCE = "item-user-item"


@dataclass(frozen=True)
class MetaPaths:
    """The strongest neighbours of each item along each path; where there are fewer, id 0 with weight 0."""

    names: tuple[str, ...]
    neighbours: Int32[np.ndarray, "M I N"]
    weights: Float32[np.ndarray, "M I N"]

    def edges(self) -> pl.DataFrame:
        """All of it as rows of EDGES: source item, relation path name, target neighbour."""
        path, item, place = np.nonzero(self.neighbours)
        frame = pl.DataFrame(
            {
                "source": item,
                "relation": np.array(self.names, dtype=object)[path].astype(str) if len(path) else [],
                "target": self.neighbours[path, item, place],
                "weight": self.weights[path, item, place],
            }
        )
        return frame.cast(pl.Schema(EDGES.columns)).sort("relation", "source", "target")


def co_occurrence(positives: sparse.csr_array) -> Iterable[sparse.csr_array]:
    """Blocks of rows of the cosine between items over users: c_ij / √(c_i c_j), c_ij = users who liked both.

    Source: Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001, section 3.1.1.
    """
    by_item = sparse.csr_array(positives.T)
    root = inverse_root(np.asarray(positives.sum(axis=0), dtype=np.float64))
    for start in range(0, shape_of(by_item)[0], BLOCK):
        block = sparse.csr_array(by_item[start : start + BLOCK] @ positives)
        yield scaled(block, root[start : start + BLOCK], root)


def shared_nodes(incidence: sparse.csr_array) -> Iterable[sparse.csr_array]:
    """Blocks of rows of W_ij = Σ_{nodes e of both i and j} 1 / ln(1 + deg e): hubs count less.

    A node on one item joins nothing, so deg e ≥ 2 wherever it matters.
    Source: Adamic and Adar, "Friends and neighbors on the Web", Social Networks 2003, with ln(1 + deg) for ln deg.
    """
    degree = np.asarray(incidence.sum(axis=0), dtype=np.float64)
    damping = np.divide(1.0, np.log1p(degree), out=np.zeros_like(degree), where=degree > 0)
    by_node = sparse.csr_array(sparse.diags_array(damping) @ incidence.T.astype(np.float64))
    for start in range(0, shape_of(incidence)[0], BLOCK):
        yield sparse.csr_array(incidence[start : start + BLOCK].astype(np.float64) @ by_node)


def scaled(block: sparse.csr_array, left: np.ndarray, right: np.ndarray) -> sparse.csr_array:
    """diag(left) · block · diag(right)."""
    row = np.repeat(np.arange(shape_of(block)[0]), np.diff(block.indptr))
    data = block.data * left[row] * right[block.indices]
    return sparse.csr_array((data, block.indices, block.indptr), shape=shape_of(block))


def strongest(
    blocks: Iterable[sparse.csr_array], items: int, count: int = NEIGHBOURS
) -> tuple[Int32[np.ndarray, "I N"], Float32[np.ndarray, "I N"]]:
    """The `count` largest weights of each row off the diagonal, descending; ties go to the smaller id."""
    neighbours = np.zeros((items, count), dtype=np.int32)
    weights = np.zeros((items, count), dtype=np.float32)
    start = 0
    for block in blocks:
        row = start + np.repeat(np.arange(shape_of(block)[0]), np.diff(block.indptr))
        column, weight = block.indices, block.data.astype(np.float32)
        kept = (row != column) & (weight > 0)
        row, column, weight = row[kept], column[kept], weight[kept]
        order = np.lexsort((column, -weight, row))
        row, column, weight = row[order], column[order], weight[order]
        place = np.arange(len(row)) - np.searchsorted(row, row, side="left")
        top = place < count
        neighbours[row[top], place[top]] = column[top]
        weights[row[top], place[top]] = weight[top]
        start += shape_of(block)[0]
    return neighbours, weights


def covered(incidence: sparse.csr_array) -> int:
    """How many items share a node with another item, hubs of more than `HUB_SHARE` of the items left aside."""
    degree = np.asarray(incidence.sum(axis=0))
    joins = ((degree > 1) & (degree <= HUB_SHARE * shape_of(incidence)[0])).astype(np.float32)
    return int(np.count_nonzero(incidence @ joins))


def metapaths(
    corpus: Corpus,
    *,
    positive_from: float = POSITIVE_FROM,
    protocol: str = PROTOCOL,
    splits: tuple[str, ...] = ("train",),
) -> MetaPaths:
    """Item-user-item over these splits, and the `MOST_RELATIONS` relations that cover most items; ties by name."""
    liked = interactions(corpus, splits, positive_from=positive_from, protocol=protocol)
    relations = incidences(corpus)
    chosen = sorted((name for name in relations if covered(relations[name])), key=lambda n: (-covered(relations[n]), n))
    items = shape_of(liked)[1]
    found = {CO_OCCURRENCE: strongest(co_occurrence(liked), items)}
    for name in chosen[:MOST_RELATIONS]:
        found[f"item-{name.removeprefix('item.')}-item"] = strongest(shared_nodes(relations[name]), items)
    return stacked(found, items)


def from_edges(edges: pl.DataFrame, items: int) -> MetaPaths:
    """The neighbourhoods back from rows of EDGES whose relation is a meta-path, `item-...-item`."""
    rows = edges.filter(pl.col("relation").str.contains(r"^item-.*-item$"))
    found = {}
    for (name,), of_path in rows.group_by("relation"):
        cells = (of_path["source"].to_numpy(), of_path["target"].to_numpy())
        weights = sparse.csr_array((of_path["weight"].to_numpy(), cells), shape=(items, items))
        found[str(name)] = strongest([weights], items)
    return stacked(found, items)


def stacked(found: dict[str, tuple[np.ndarray, np.ndarray]], items: int) -> MetaPaths:
    """One array over all paths: item-user-item first, the others by name."""
    names = sorted(found, key=lambda name: (name != CO_OCCURRENCE, name))
    neighbours = np.array([found[name][0] for name in names], dtype=np.int32).reshape(-1, items, NEIGHBOURS)
    weights = np.array([found[name][1] for name in names], dtype=np.float32).reshape(-1, items, NEIGHBOURS)
    return MetaPaths(tuple(names), neighbours, weights)
