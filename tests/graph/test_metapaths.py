"""Neighbourhoods equal the dense products, sorted and cut."""

import gzip
import os
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from rlrec.graph import metapaths as module
from rlrec.graph.bipartite import interactions
from rlrec.graph.knowledge import incidences
from rlrec.graph.metapaths import NEIGHBOURS, co_occurrence, covered, from_edges, metapaths, shared_nodes, strongest
from rlrec.tables import EDGES, EVENTS, SPLITS, TRIPLES, check
from tests.needs import need
from tests.worlds import small_world, write


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("world"))


def brute(weights: np.ndarray) -> list[list[tuple[int, float]]]:
    found = []
    for item, row in enumerate(weights.astype(np.float32)):
        order = sorted((-value, other) for other, value in enumerate(row) if other != item and value > 0)
        found.append([(other, -value) for value, other in order[:NEIGHBOURS]])
    return found


def rows(neighbours: np.ndarray, weights: np.ndarray) -> list[list[tuple[int, float]]]:
    return [
        [(int(i), float(w)) for i, w in zip(ids, values, strict=True) if i]
        for ids, values in zip(neighbours, weights, strict=True)
    ]


def same(one, other) -> bool:
    return [[i for i, _ in row] for row in one] == [[i for i, _ in row] for row in other] and np.allclose(
        [w for row in one for _, w in row], [w for row in other for _, w in row]
    )


def random_incidence(rows: int, columns: int, share: float, seed: int) -> sparse.csr_array:
    """Zeros and ones whose row and column 0 are padding, some columns far fuller than others."""
    random = np.random.default_rng(seed)
    cells = random.random((rows, columns)) < np.minimum(1, share * 3 * random.random(columns) ** 4)
    cells[0], cells[:, 0] = False, False
    return sparse.csr_array(cells.astype(np.float32))


@pytest.mark.parametrize(("cells", "stripe"), [(1, 1), (70, 40), (1 << 21, 1 << 22)])
def test_co_occurrence_is_the_cosine_over_users(corpus, cells, stripe, monkeypatch):
    monkeypatch.setattr(module, "CELLS", cells)
    monkeypatch.setattr(module, "STRIPE", stripe)
    found = metapaths(corpus, interactions(corpus, ["train"]))
    liked = interactions(corpus, ["train"]).toarray().astype(np.float64)
    size = np.sqrt(liked.sum(0))
    cosine = np.divide(liked.T @ liked, np.outer(size, size), out=np.zeros((51, 51)), where=np.outer(size, size) > 0)
    assert found.names[0] == "item-user-item"
    assert same(rows(found.neighbours[0], found.weights[0]), brute(cosine))


def test_shared_nodes_are_damped_by_their_degree(corpus, monkeypatch):
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)  # four genres on fifty items are all hubs
    found = metapaths(corpus, interactions(corpus, ["train"]))
    incidence = incidences(corpus)["item.genre"].toarray().astype(np.float64)
    degree = incidence.sum(0)
    damping = np.array([1 / np.log(1 + d) if d else 0.0 for d in degree])
    assert found.names == ("item-user-item", "item-genre-item")
    assert found.neighbours.shape == found.weights.shape == (2, 51, NEIGHBOURS)
    assert same(rows(found.neighbours[1], found.weights[1]), brute(incidence * damping @ incidence.T))
    assert found.neighbours[:, 0].max() == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weigh", [co_occurrence, shared_nodes])
def test_blocks_of_any_size_give_the_same_bits(weigh, seed, monkeypatch):
    incidence = random_incidence(90, 70, 0.4, seed)
    if weigh is co_occurrence:
        incidence = sparse.csr_array(incidence.T)
    whole = strongest(weigh(incidence), 90, count=7)
    for cells, stripe in ((1, 1), (200, 60), (1000, 1 << 22)):
        monkeypatch.setattr(module, "CELLS", cells)
        monkeypatch.setattr(module, "STRIPE", stripe)
        blocks = list(weigh(incidence))
        assert all(block.nnz <= cells or block.shape[0] == 1 for block in blocks)
        assert len(blocks) > 1
        parts = strongest(blocks, 90, count=7)
        assert all(np.array_equal(part, of_whole) for part, of_whole in zip(parts, whole, strict=True))


@pytest.mark.parametrize("weigh", [co_occurrence, shared_nodes])
def test_weights_are_symmetric(weigh):
    dense = sparse.vstack(list(weigh(random_incidence(60, 60, 0.4, 5)))).toarray()
    assert np.allclose(dense, dense.T, rtol=1e-12)


@pytest.mark.parametrize("weigh", [co_occurrence, shared_nodes])
def test_a_hub_left_out_is_a_hub_that_is_not_there(weigh):
    incidence = random_incidence(80, 60, 0.5, 6)
    degree = incidence.sum(axis=0)
    kept = sparse.csr_array(incidence * (degree <= 12))
    assert 0 < np.count_nonzero(degree > 12) < 30
    if weigh is co_occurrence:
        incidence, kept = sparse.csr_array(incidence.T), sparse.csr_array(kept.T)
    with_limit, without = strongest(weigh(incidence, 12), 80), strongest(weigh(kept), 80)
    assert all(np.array_equal(one, other) for one, other in zip(with_limit, without, strict=True))
    assert not np.array_equal(with_limit[0], strongest(weigh(incidence), 80)[0])


def test_hubs_are_counted(corpus, monkeypatch):
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)
    liked = interactions(corpus, ["train"])
    degree = {"item-user-item": liked.sum(axis=1), "item-genre-item": incidences(corpus)["item.genre"].sum(axis=0)}
    hub = int(np.median(degree["item-user-item"]))
    assert metapaths(corpus, liked, hub=hub).hubs == {name: int((of > hub).sum()) for name, of in degree.items()}
    assert set(metapaths(corpus, liked).hubs.values()) == {0}


def test_strongest_is_a_sort_even_when_most_weights_tie():
    random = np.random.default_rng(7)
    weights = random.integers(0, 3, (50, 50)) / 2
    weights[0], weights[:, 0] = 0, 0
    assert rows(*strongest([sparse.csr_array(weights)], 50)) == brute(weights)


@pytest.mark.data
def test_a_product_that_explodes_is_pruned_while_it_is_built(monkeypatch):
    need("data")
    folder = Path(os.environ["RLREC_TEST_DATA"]) / "amazon-beauty-kg"

    def lines(name: str) -> list[str]:
        return gzip.decompress((folder / f"{name}.txt.gz").read_bytes()).decode().splitlines()

    names = {kind: lines(kind) for kind in ("product", "related_product")}
    ends = [np.array(line.split(), dtype=np.int64) for line in lines("also_bought_p_p")]
    place = {name: i for i, name in enumerate(names["product"])}
    product = np.array([place.get(name, -1) for name in names["related_product"]])
    products, related = len(names["product"]), len(names["related_product"])
    item, node = np.repeat(np.arange(len(ends)), [len(line) for line in ends]), np.concatenate(ends)
    assert (products, related, len(node)) == (12_101, 164_721, 891_182)
    itself = np.unique(node[product[node] >= 0])  # a product that others are bought with is a node of its own
    cells = np.concatenate([item, product[itself]]) + 1, np.concatenate([node, itself]) + 1
    incidence = sparse.csr_array((np.ones(len(cells[0]), dtype=np.float32), cells), shape=(products + 1, related + 1))
    incidence.data[:] = 1

    tracemalloc.start()
    found = strongest(shared_nodes(incidence), products + 1)
    pruned = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    monkeypatch.setattr(module, "CELLS", np.inf)
    (pairs,) = shared_nodes(incidence)
    pairs.sort_indices()
    assert pairs.nnz > 15_864_650  # without the products that are nodes themselves
    assert pruned < (pairs.data.nbytes + pairs.indices.nbytes) / 2
    for row, (ids, weights) in enumerate(zip(*found, strict=True)):
        column, weight = (part[pairs.indptr[row] : pairs.indptr[row + 1]] for part in (pairs.indices, pairs.data))
        column, weight = column[column != row], weight.astype(np.float32)[column != row]
        best = np.argsort(-weight, kind="stable")[:NEIGHBOURS]
        assert np.array_equal(ids[ids > 0], column[best])
        assert np.array_equal(weights[ids > 0], weight[best])


def test_ties_go_to_the_smaller_id():
    weights = sparse.csr_array(np.array([[0, 0, 0, 0], [0, 9, 1, 1], [0, 2, 9, 2], [0, 1, 3, 9]], dtype=np.float64))
    ids, values = strongest([weights], 4, count=2)
    assert ids.tolist() == [[0, 0], [2, 3], [1, 3], [2, 1]]
    assert values.tolist() == [[0, 0], [1, 1], [2, 2], [3, 1]]


def test_hubs_are_no_coverage():
    wide = np.zeros((21, 3))
    wide[1:, 1] = 1  # on every item
    wide[4:6, 2] = 1  # on two
    assert covered(sparse.csr_array(wide)) == 2


def test_only_the_relations_with_most_coverage_stay(tmp_path, corpus, monkeypatch):
    monkeypatch.setattr(module, "MOST_RELATIONS", 2)
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)
    reach = {"a": 3, "b": 9, "c": 5}
    triples = pl.DataFrame(
        [("item", i, name, "entity", 1) for name, count in reach.items() for i in range(1, count + 1)],
        schema=["head_kind", "head", "relation", "tail_kind", "tail"],
        orient="row",
    )
    world = small_world(tmp_path)
    write(tmp_path, TRIPLES, triples)
    assert metapaths(world, interactions(world, ["train"])).names == ("item-user-item", "item-b-item", "item-c-item")


def test_edges_round_trip(corpus, monkeypatch):
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)
    found = metapaths(corpus, interactions(corpus, ["train"]))
    frame = pl.concat(found.edges())
    check(frame, EDGES)
    again = from_edges(frame.sample(fraction=1, shuffle=True, seed=0), 51)
    assert again.names == found.names
    assert np.array_equal(again.neighbours, found.neighbours)
    assert np.array_equal(again.weights, found.weights)
    assert from_edges(frame.clear(), 51).neighbours.shape == (0, 51, NEIGHBOURS)


def test_only_train_is_read(tmp_path):
    world = small_world(tmp_path)
    before = metapaths(world, interactions(world, ["train"]))
    held_out = world.scan(SPLITS).filter(pl.col("split") != "train").select("event")
    events = world.scan(EVENTS).collect()
    changed = events.with_columns(
        value=pl.when(pl.col("event").is_in(held_out.collect()["event"].implode())).then(1.0).otherwise("value")
    )
    write(tmp_path, EVENTS, changed)
    assert np.array_equal(metapaths(world, interactions(world, ["train"])).weights, before.weights)
