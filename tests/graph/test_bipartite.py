"""Positives, everything seen, and the normalised graph."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch

from rlrec.errors import InputError
from rlrec.graph import bipartite
from rlrec.graph.bipartite import (
    consecutive,
    csr_tensor,
    edges,
    interactions,
    normalised,
    normalised_adjacency,
    seen,
)
from rlrec.tables import EDGES, EVENTS, SPLITS, check
from tests.worlds import BEGIN, small_world, write, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("world"))


def test_equals_a_loop_over_events(corpus):
    events = corpus.scan(EVENTS).join(corpus.scan(SPLITS), on="event").collect()
    for splits in (["train"], ["train", "feedback"]):
        liked, rated = interactions(corpus, splits), seen(corpus, splits)
        expected = np.zeros(liked.shape), np.zeros(liked.shape)
        for row in events.iter_rows(named=True):
            if row["split"] in splits:
                expected[0][row["user"], row["item"]] = max(row["value"] >= 4, expected[0][row["user"], row["item"]])
                expected[1][row["user"], row["item"]] = 1
        assert np.array_equal(liked.toarray(), expected[0])
        assert np.array_equal(rated.toarray(), expected[1])
        assert liked.dtype == np.float32
        assert (liked.toarray() <= rated.toarray()).all()


def test_padding_is_empty_and_splits_are_disjoint(corpus):
    parts = [interactions(corpus, [split]) for split in ("train", "feedback", "validation", "test")]
    assert sum(part.nnz for part in parts) == interactions(corpus, ["train", "feedback", "validation", "test"]).nnz
    for part in parts:
        assert part[[0], :].nnz == part[:, [0]].nnz == 0


def test_value_null_is_positive_and_repeats_count_once(tmp_path):
    events = pl.DataFrame(
        {"event": [1, 2, 3, 4], "user": [1, 1, 2, 2], "item": [2, 2, 1, 2], "value": [None, 1.0, 3.9, 4.0], "at": BEGIN}
    )
    corpus = write_corpus(tmp_path, events, users=2, items=2, categories=[[], []])
    assert interactions(corpus, ["train"]).toarray().tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert interactions(corpus, ["train"], positive_from=3.5).toarray().tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1]]
    assert seen(corpus, ["train"]).toarray().tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("number", [lambda event: event, lambda event: 10**12 * (event - 300), lambda event: -event])
def test_batches_and_event_numbers_of_any_kind_give_the_same_matrix(tmp_path, corpus, batch, number, monkeypatch):
    events, splits = (corpus.scan(table).with_columns(number(pl.col("event"))).collect() for table in (EVENTS, SPLITS))
    users = events.join(splits.filter(pl.col("split") == "train"), on="event").filter(pl.col("value") >= 4)
    expected = users.select("user", "item").unique().sort("user", "item")
    again = small_world(tmp_path)
    write(tmp_path, EVENTS, pl.concat([events, events]).sample(fraction=1, shuffle=True))
    write(tmp_path, SPLITS, splits)
    monkeypatch.setattr(bipartite, "BATCH", batch)
    found = pl.concat(edges(interactions(again, ["train"])))
    assert found.select(user="source", item="target").equals(expected)


def test_consecutive_rows_cover_all_within_the_cost():
    cost = np.random.default_rng(0).integers(0, 20, 500)
    for most in (1, 10, 35, 1e9):
        parts = list(consecutive(cost, most))
        assert np.array_equal(np.concatenate([np.arange(500)[part] for part in parts]), np.arange(500))
        assert all(cost[part].sum() <= most or part.stop - part.start == 1 for part in parts)
        joined = [cost[one.start : other.stop].sum() for one, other in pairwise(parts)]
        assert all(total > most for total in joined)


def test_no_positives_is_an_input_error(corpus):
    with pytest.raises(InputError, match="no positive events in the splits trian"):
        interactions(corpus, ["trian"])


def test_other_protocols_are_not_read(corpus):
    splits = corpus.scan(SPLITS).collect()
    other = splits.with_columns(protocol=pl.lit("other"), split=pl.lit("train"))
    before = interactions(corpus, ["train"]).toarray()
    write(corpus.folders[0], SPLITS, pl.concat([splits, other]))
    assert np.array_equal(interactions(corpus, ["train"]).toarray(), before)
    assert interactions(corpus, ["train"], protocol="other").nnz > before.sum()


def test_edges_are_the_matrix(corpus):
    liked = interactions(corpus, ["train"])
    frame = pl.concat(edges(liked))
    check(frame, EDGES)
    user, item = liked.nonzero()
    assert np.array_equal(frame["source"].to_numpy(), user)
    assert np.array_equal(frame["target"].to_numpy(), item)


def test_normalised_adjacency_is_symmetric_with_largest_eigenvalue_1(corpus):
    liked = interactions(corpus, ["train"])
    dense = normalised_adjacency(liked).to_dense()
    users, items = liked.shape
    full = np.zeros((users + items, users + items))
    full[:users, users:], full[users:, :users] = liked.toarray(), liked.toarray().T
    degree = full.sum(1)
    root = np.array([d**-0.5 if d else 0.0 for d in degree])
    assert np.allclose(dense.numpy(), root[:, None] * full * root[None], atol=1e-6)
    assert torch.equal(dense, dense.T)
    assert torch.linalg.eigvalsh(dense.double()).max().item() == pytest.approx(1, abs=1e-5)
    assert np.allclose(normalised(liked).toarray(), dense[:users, users:], atol=1e-6)


def test_csr_tensor_keeps_the_values(corpus):
    liked = interactions(corpus, ["train"])
    assert np.array_equal(csr_tensor(liked).to_dense().numpy(), liked.toarray())
