"""The stored edges are the matrix and the neighbourhoods; hubs are left out only when asked for, and said."""

import json
import logging

import polars as pl
import pytest

from rlrec.graph import metapaths as module
from rlrec.graph.bipartite import edges, interactions
from rlrec.graph.metapaths import metapaths
from rlrec.tables import EDGES, check
from tasks.artifacts import Artifact
from tasks.database import BrokenCheckError
from tasks.graphs import VERSION, graphs
from tests.worlds import small_world


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HUB_SHARE", 1.0)
    return small_world(tmp_path / "corpus")


def stored(corpus, target, **options) -> pl.DataFrame:
    made = graphs(Artifact(uri=str(corpus.folders[0]), digest="", kind="corpus"), 4.0, target=target, **options)
    frame = pl.read_parquet(made.path / "edges.parquet")
    check(frame, EDGES)
    assert made.rows == frame.height
    return frame


def test_edges_are_users_then_paths_in_order(corpus, tmp_path):
    liked = interactions(corpus, ["train"])
    found = stored(corpus, tmp_path / "graphs")
    assert found.equals(pl.concat([*edges(liked), *metapaths(corpus, liked).edges()]))
    for _, rows in found.group_by("relation"):
        assert rows.equals(rows.sort("source", "target"))


def test_the_same_corpus_gives_the_same_bytes(corpus, tmp_path):
    made = [Artifact(uri=str(corpus.folders[0]), digest="", kind="corpus")] * 2
    digests = {graphs(one, 4.0, target=tmp_path / str(number)).digest for number, one in enumerate(made)}
    assert len(digests) == 1


def test_a_graph_that_knows_a_later_slice_is_not_stored(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tasks.graphs.interactions",
        lambda tables, slices, **options: interactions(tables, [*slices, "test"], **options),
    )
    with pytest.raises(BrokenCheckError, match="leaked_edges"):
        stored(corpus, tmp_path / "graphs")
    assert not (tmp_path / "graphs").exists()


def test_hubs_stay_in_the_graph_and_are_named(corpus, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = stored(corpus, tmp_path / "graphs", hub=5)
    liked = interactions(corpus, ["train"])
    assert found.filter(pl.col("relation") == "user-item").height == liked.nnz
    hubs = metapaths(corpus, liked, hub=5).hubs
    assert hubs["item-user-item"] == int((liked.sum(axis=1) > 5).sum()) > 0
    assert "more than 5 items, left out of meta-paths: item-user-item " + str(hubs["item-user-item"]) in caplog.text


def test_the_graphs_say_what_they_were_made_from(corpus, tmp_path):
    folder = corpus.folders[0]
    (folder / "corpus.json").write_text(json.dumps({"generation": 3, "view": {"filters": []}}))
    made = graphs(Artifact(uri=str(folder), digest="abc", kind="corpus"), 4.0, target=tmp_path / "graphs", hub=2)
    again = graphs(Artifact(uri=str(folder), digest="xyz", kind="corpus"), 4.0, target=tmp_path / "more", hub=2)
    assert again.digest != made.digest
    assert (again.path / "edges.parquet").read_bytes() == (made.path / "edges.parquet").read_bytes()
    told = json.loads((made.path / VERSION).read_text())
    assert told.pop("neighbours") > 0
    assert told == {"corpus": "abc", "generation": 3, "view": {"filters": []}, "positive_from": 4.0, "hub": 2}
