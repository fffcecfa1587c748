"""Evidence survives the table CONTEXTS, row by row."""

from dataclasses import fields

import pytest
import torch

from rlrec.batches import Contexts
from rlrec.corpus import Corpus
from rlrec.feedback.contexts import contexts_frame, read_contexts
from rlrec.feedback.evidence import Evidence
from rlrec.tables import CONTEXTS, check
from tests.enumeration import draw

NUMBER, SIZE, FEATURES, FOLDS = 6, 4, 3, 2


@pytest.fixture
def evidence():
    cells = [draw(NUMBER, SIZE, seed=seed, dtype=torch.float32) for seed in range(4)]
    items = torch.arange(1, NUMBER * SIZE + 1).view(NUMBER, SIZE)
    features = draw(NUMBER, SIZE, FEATURES, seed=9, dtype=torch.float32)
    user = torch.tensor([4, 2, 7]).repeat(FOLDS)
    return Evidence(Contexts(user, items, cells[0], features), *cells[1:])


@pytest.mark.parametrize("folds", [FOLDS, None])
def test_round_trip(evidence, tmp_path, folds):
    frame = contexts_frame(evidence, folds)
    check(frame, CONTEXTS)
    assert frame["fold"].to_list() == ([0, 0, 0, 1, 1, 1] if folds else [None] * NUMBER)
    frame.sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "contexts.parquet")
    found = read_contexts(Corpus.of(tmp_path))
    for part in fields(Contexts):
        assert torch.equal(getattr(found.contexts, part.name), getattr(evidence.contexts, part.name))
    for name in ("q_hat", "observed", "shown"):
        assert torch.equal(getattr(found, name), getattr(evidence, name))
