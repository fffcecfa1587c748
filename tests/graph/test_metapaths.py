"""Neighbourhoods equal the dense products, sorted and cut."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from rlrec.graph import metapaths as module
from rlrec.graph.bipartite import interactions
from rlrec.graph.knowledge import incidences
from rlrec.graph.metapaths import NEIGHBOURS, covered, from_edges, metapaths, strongest
from rlrec.tables import EDGES, EVENTS, SPLITS, TRIPLES, check
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


@pytest.mark.parametrize("block", [7, 4096])
def test_co_occurrence_is_the_cosine_over_users(corpus, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    found = metapaths(corpus)
    liked = interactions(corpus, ["train"]).toarray().astype(np.float64)
    size = np.sqrt(liked.sum(0))
    cosine = np.divide(liked.T @ liked, np.outer(size, size), out=np.zeros((51, 51)), where=np.outer(size, size) > 0)
    assert found.names[0] == "item-user-item"
    assert same(rows(found.neighbours[0], found.weights[0]), brute(cosine))


def test_shared_nodes_are_damped_by_their_degree(corpus, monkeypatch):
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)  # four genres on fifty items are all hubs
    found = metapaths(corpus)
    incidence = incidences(corpus)["item.genre"].toarray().astype(np.float64)
    degree = incidence.sum(0)
    damping = np.array([1 / np.log(1 + d) if d else 0.0 for d in degree])
    assert found.names == ("item-user-item", "item-genre-item")
    assert found.neighbours.shape == found.weights.shape == (2, 51, NEIGHBOURS)
    assert same(rows(found.neighbours[1], found.weights[1]), brute(incidence * damping @ incidence.T))
    assert found.neighbours[:, 0].max() == 0


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
    assert metapaths(world).names == ("item-user-item", "item-b-item", "item-c-item")


def test_edges_round_trip(corpus, monkeypatch):
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)
    found = metapaths(corpus)
    frame = found.edges()
    check(frame, EDGES)
    again = from_edges(frame.sample(fraction=1, shuffle=True, seed=0), 51)
    assert again.names == found.names
    assert np.array_equal(again.neighbours, found.neighbours)
    assert np.array_equal(again.weights, found.weights)
    assert from_edges(frame.clear(), 51).neighbours.shape == (0, 51, NEIGHBOURS)


def test_only_train_is_read(tmp_path):
    world = small_world(tmp_path)
    before = metapaths(world)
    held_out = world.scan(SPLITS).filter(pl.col("split") != "train").select("event")
    events = world.scan(EVENTS).collect()
    changed = events.with_columns(
        value=pl.when(pl.col("event").is_in(held_out.collect()["event"].implode())).then(1.0).otherwise("value")
    )
    write(tmp_path, EVENTS, changed)
    assert np.array_equal(metapaths(world).weights, before.weights)
