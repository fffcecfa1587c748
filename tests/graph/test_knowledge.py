"""Incidence of items and nodes, whichever way a triple points."""

import numpy as np
import polars as pl
import pytest

from rlrec.graph.knowledge import incidences
from tests.worlds import BEGIN, write_corpus

ROWS = [
    ("item", 1, "item.genre", "entity", 1),
    ("item", 2, "item.genre", "entity", 1),
    ("item", 2, "item.genre", "entity", 2),
    ("entity", 3, "made", "item", 3),
    ("entity", 3, "made", "item", 1),
    ("item", 1, "made.by", "entity", 3),  # the same facts, stored the other way round
    ("item", 3, "made.by", "entity", 3),
    ("item", 1, "sequel", "item", 2),
    ("entity", 1, "near", "entity", 2),  # not about items
    ("user", 1, "follows", "entity", 2),
]


@pytest.fixture
def corpus(tmp_path):
    events = pl.DataFrame({"event": [1], "user": [1], "item": [1], "value": [5.0], "at": [BEGIN]})
    triples = pl.DataFrame(ROWS, schema=["head_kind", "head", "relation", "tail_kind", "tail"], orient="row")
    return write_corpus(
        tmp_path, events, users=1, items=3, categories=[[]] * 3, triples=triples, entities=["a", "b", "c"]
    )


def cells(found) -> set[tuple[int, int]]:
    return set(zip(*(index.tolist() for index in found.nonzero()), strict=True))


def test_directions_are_normalised_and_repeats_left_out(corpus):
    found = incidences(corpus)
    assert list(found) == ["item.genre", "made", "sequel"]
    assert cells(found["item.genre"]) == {(1, 1), (2, 1), (2, 2)}
    assert cells(found["made"]) == {(3, 3), (1, 3)}


def test_items_as_nodes_carry_themselves(corpus):
    found = incidences(corpus)["sequel"]
    assert found.shape == (4, 4 + 4)
    assert cells(found) == {(1, 4 + 2), (2, 4 + 2)}
    assert np.unique(found.data).tolist() == [1.0]


def test_without_triples_there_is_nothing(tmp_path):
    events = pl.DataFrame({"event": [1], "user": [1], "item": [1], "value": [5.0], "at": [BEGIN]})
    assert incidences(write_corpus(tmp_path, events, users=1, items=1, categories=[[]])) == {}
