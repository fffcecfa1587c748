"""Triples about items -> one item x node incidence matrix for each relation."""

import numpy as np
import polars as pl
from scipy import sparse

from rlrec.corpus import Corpus
from rlrec.tables import TRIPLES


def attributes(triples: pl.LazyFrame) -> pl.DataFrame:
    """Distinct (relation, item, node_kind, node), whichever end of the triple the item stands at.

    When both ends are items, the tail is the node, and it carries itself: then head and tail share a node.
    """
    head = triples.filter(pl.col("head_kind") == "item", pl.col("tail_kind").is_in(["item", "entity"]))
    tail = triples.filter(pl.col("tail_kind") == "item", pl.col("head_kind") == "entity")
    itself = triples.filter(pl.col("head_kind") == "item", pl.col("tail_kind") == "item")
    ends = [
        rows.select("relation", item=pl.col(item), node_kind=pl.col(f"{node}_kind"), node=pl.col(node))
        for rows, item, node in ((head, "head", "tail"), (tail, "tail", "head"), (itself, "tail", "tail"))
    ]
    return pl.concat(ends).unique().sort("relation", "item", "node_kind", "node").collect()


def incidences(corpus: Corpus) -> dict[str, sparse.csr_array]:
    """Relation -> zeros and ones `[I, E + I]`, float32, relations in order of name.

    Columns are entities, then items that stand as nodes. A relation that repeats the pairs of an earlier one (a graph
    that stores each fact in both directions) is left out. Empty when the corpus has no triples.
    """
    if not corpus.has(TRIPLES):
        return {}
    items, entities = len(corpus.vocabulary("item")), len(corpus.vocabulary("entity"))
    found: dict[str, sparse.csr_array] = {}
    for (name,), rows in attributes(corpus.scan(TRIPLES)).group_by("relation", maintain_order=True):
        column = rows["node"].to_numpy() + np.where(rows["node_kind"].to_numpy() == "item", entities, 0)
        ones = np.ones(len(rows), dtype=np.float32)
        matrix = sparse.csr_array((ones, (rows["item"].to_numpy(), column)), shape=(items, entities + items))
        matrix.sort_indices()
        if not any(same_pairs(matrix, other) for other in found.values()):
            found[str(name)] = matrix
    return found


def same_pairs(one: sparse.csr_array, other: sparse.csr_array) -> bool:
    """Whether two incidence matrices with sorted indices have the same entries."""
    return np.array_equal(one.indptr, other.indptr) and np.array_equal(one.indices, other.indices)
