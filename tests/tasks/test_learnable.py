"""No table that the pipeline learns from knows a later slice: the run stops where the table is made."""

import numpy as np
import pytest

from rlrec.graph import bipartite
from rlrec.pretrain.bpr import BPR
from tasks import learnable
from tasks.artifacts import Artifact
from tasks.database import BrokenCheckError
from tasks.learn import pretrain
from tasks.learnable import popularity, positives
from tests.worlds import small_world


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("RLREC_HOME", str(tmp_path / "not" / "there" / "yet"))
    return small_world(tmp_path / "corpus")


@pytest.fixture
def leak(monkeypatch):
    """Whoever asks for the positives of some slices gets those of the test slice, too."""
    found = bipartite.interactions
    monkeypatch.setattr(
        learnable, "interactions", lambda tables, slices, **options: found(tables, [*slices, "test"], **options)
    )


def test_what_is_made_of_its_own_slices_passes_unchanged(corpus):
    liked = positives(corpus, ["train"], 4.0)
    assert (liked != bipartite.interactions(corpus, ["train"])).nnz == 0
    assert np.array_equal(popularity(corpus, liked, ["train"]), np.asarray(liked.sum(axis=0), dtype=np.float32))
    assert positives(corpus, ["train", "feedback"], 4.0).nnz > liked.nnz


def test_pairs_of_a_later_slice_stop_the_run(corpus, leak):
    with pytest.raises(BrokenCheckError, match="leaked_edges"):
        positives(corpus, ["train"], 4.0)


def test_popularity_that_counts_a_later_slice_stops_the_run(corpus):
    with pytest.raises(BrokenCheckError, match="leaked_counts"):
        popularity(corpus, bipartite.interactions(corpus, ["train", "test"]), ["train"])


def test_pretraining_does_not_begin_on_a_leak(corpus, leak, tmp_path):
    stored = Artifact(uri=str(corpus.folders[0]), digest="", kind="corpus")
    with pytest.raises(BrokenCheckError, match="leaked_edges"):
        pretrain(stored, stored, BPR(), 0, target=tmp_path / "pretrained")
    assert not (tmp_path / "pretrained").exists()
