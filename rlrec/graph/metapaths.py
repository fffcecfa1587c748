"""Item neighbourhoods along meta-paths: item-user-item, and item-relation-item through shared nodes of a graph."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import polars as pl
from jaxtyping import Float32, Int32, UInt64
from scipy import sparse

from rlrec.corpus import Corpus
from rlrec.graph.bipartite import BATCH, consecutive, edge_rows, inverse_root, shape_of
from rlrec.graph.knowledge import incidences

NEIGHBOURS = 20
MOST_RELATIONS = 4  # a weight is learned for each path; the relations after these reach few items
HUB_SHARE = 0.1  # a node on more items than this share tells none of them apart, and does not count as coverage
CELLS = 1 << 20  # of a product held at once, about 50 bytes each while its strongest are chosen
STRIPE = 1 << 21  # entries of the transposed interactions held at once
HALF = np.uint64(32)  # bits
LOW = np.uint64((1 << 32) - 1)
NOTHING = ~LOW  # sorts after every weight, and reads as id 0 with weight 0
CO_OCCURRENCE = "item-user-item"


@dataclass(frozen=True)
class MetaPaths:
    """The strongest neighbours of each item along each path; where there are fewer, id 0 with weight 0.

    `hubs`: for each path, how many users or nodes were left out for the number of their items.
    """

    names: tuple[str, ...]
    neighbours: Int32[np.ndarray, "M I N"]
    weights: Float32[np.ndarray, "M I N"]
    hubs: Mapping[str, int] = field(default_factory=dict[str, int])

    def edges(self) -> Iterator[pl.DataFrame]:
        """All of it as rows of EDGES, in batches, ascending: source item, relation path name, target neighbour."""
        for path in np.argsort(self.names):
            for rows in consecutive(np.count_nonzero(self.neighbours[path], axis=1), BATCH):
                neighbours, weights = self.neighbours[path, rows], self.weights[path, rows]
                item, place = np.nonzero(neighbours)
                cells = item + rows.start, neighbours[item, place], weights[item, place]
                yield edge_rows(self.names[path], *cells).sort("source", "target")


def co_occurrence(positives: sparse.csr_array, hub: int | None = None) -> Iterator[sparse.csr_array]:
    """Blocks of rows of the cosine between items over users: c_ij / √(c_i c_j), c_ij = users who liked both.

    Users who liked more than `hub` items are no evidence that two of them belong together, and are left out.
    Source: Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001, section 3.1.1.
    """
    degree = np.diff(positives.indptr).astype(np.float32)
    counted = small(degree, hub)
    root = inverse_root((counted.astype(np.float32) @ positives).astype(np.float64))
    for columns in consecutive(positives.sum(axis=0), STRIPE):
        by_item = among(sparse.csr_array(positives[:, columns].T), counted)
        left = root[columns]
        for rows in bounded(by_item, degree, len(root)):
            yield scaled(sparse.csr_array(by_item[rows] @ positives), left[rows], root)


def shared_nodes(incidence: sparse.csr_array, hub: int | None = None) -> Iterator[sparse.csr_array]:
    """Blocks of rows of W_ij = Σ_{nodes e of both i and j} 1 / ln(1 + deg e): hubs count less.

    A node on one item joins nothing, so deg e ≥ 2 wherever it matters. Nodes on more than `hub` items are left out.
    Source: Adamic and Adar, "Friends and neighbors on the Web", Social Networks 2003, with ln(1 + deg) for ln deg.
    """
    degree = np.asarray(incidence.sum(axis=0), dtype=np.float64)
    damping = np.divide(1.0, np.log1p(degree), out=np.zeros_like(degree), where=degree > 0)
    by_item = sparse.csr_array(among(incidence, small(degree, hub)), dtype=np.float64)
    by_node = sparse.csr_array(sparse.diags_array(damping) @ by_item.T)
    for rows in bounded(by_item, degree, shape_of(incidence)[0]):
        yield sparse.csr_array(by_item[rows] @ by_node)


def bounded(left: sparse.csr_array, degree: np.ndarray, width: int) -> Iterator[slice]:
    """Rows of `left` whose product with a matrix of `width` columns holds at most `CELLS` cells.

    A row of the product has no more cells than terms, the sum of the degrees of what it joins, nor than columns.
    Source: Gustavson, "Two Fast Algorithms for Sparse Matrices", ACM TOMS 1978.
    """
    return consecutive(np.minimum(left @ degree, width), CELLS)


def small(degree: np.ndarray, hub: int | None) -> np.ndarray:
    """Which users or nodes are no hubs: on at most `hub` items; without a limit, all."""
    return degree <= (np.inf if hub is None else hub)


def among(matrix: sparse.csr_array, counted: np.ndarray) -> sparse.csr_array:
    """The matrix with only the entries of the columns that count."""
    if counted.all():
        return matrix
    kept = counted[matrix.indices]
    start = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr].astype(matrix.indptr.dtype)
    return sparse.csr_array((matrix.data[kept], matrix.indices[kept], start), shape=shape_of(matrix))


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
        rows = shape_of(block)[0]
        weight = block.data.astype(np.float32)
        kept = (block.indices != np.repeat(np.arange(start, start + rows), np.diff(block.indptr))) & (weight > 0)
        key = descending(weight[kept], block.indices[kept].astype(np.int32, copy=False))
        end = np.concatenate([[0], np.cumsum(kept)])[block.indptr]
        best = np.full((rows, count), NOTHING)
        for row, cells in enumerate(key[one:other] for one, other in pairwise(end)):
            top = cells if len(cells) <= count else np.partition(cells, count - 1)[:count]
            best[row, : len(top)] = top
        best.sort(axis=1)
        neighbours[start : start + rows] = best & LOW
        weights[start : start + rows] = (~(best >> HALF)).astype(np.uint32).view(np.float32)
        start += rows
    return neighbours, weights


def descending(weight: Float32[np.ndarray, "E"], column: Int32[np.ndarray, "E"]) -> UInt64[np.ndarray, "E"]:
    """Numbers that ascend as positive weights descend, then as columns ascend: such floats order as their bits do."""
    key = (~weight.view(np.uint32)).astype(np.uint64)
    key <<= HALF
    key |= column.view(np.uint32)
    return key


def covered(incidence: sparse.csr_array) -> int:
    """How many items share a node with another item, hubs of more than `HUB_SHARE` of the items left aside."""
    degree = np.asarray(incidence.sum(axis=0))
    joins = ((degree > 1) & (degree <= HUB_SHARE * shape_of(incidence)[0])).astype(np.float32)
    return int(np.count_nonzero(incidence @ joins))


def metapaths(corpus: Corpus, liked: sparse.csr_array, *, hub: int | None = None) -> MetaPaths:
    """Item-user-item over the liked pairs, and the `MOST_RELATIONS` relations that cover most items; ties by name.

    Users and nodes with more than `hub` items are left out, and counted.
    """
    relations = incidences(corpus)
    reach = {name: covered(incidence) for name, incidence in relations.items()}
    chosen = sorted((name for name in relations if reach[name]), key=lambda name: (-reach[name], name))
    items = shape_of(liked)[1]
    found = {CO_OCCURRENCE: strongest(co_occurrence(liked, hub), items)}
    hubs = {CO_OCCURRENCE: np.count_nonzero(~small(np.diff(liked.indptr), hub))}
    for name in chosen[:MOST_RELATIONS]:
        path = f"item-{name.removeprefix('item.')}-item"
        found[path] = strongest(shared_nodes(relations[name], hub), items)
        hubs[path] = np.count_nonzero(~small(relations[name].sum(axis=0), hub))
    return replace(stacked(found, items), hubs=hubs)


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
