"""What all closed-form scorers share: they see the history and nothing else."""

import numpy as np
import pytest
import torch
from scipy import sparse

from rlrec.batches import State, multi_hot
from rlrec.closed_form.ease import Ease
from rlrec.closed_form.gfcf import GfCf
from rlrec.closed_form.itemknn import ItemKNN
from rlrec.closed_form.popularity import Popularity
from rlrec.protocols import Scorer

USERS, ITEMS = 40, 18
FITS = {
    "popularity": Popularity.fit,
    "itemknn": lambda rows: ItemKNN.fit(rows, ITEMS),  # all neighbours: which of two ties stays depends on their ids
    "ease": Ease.fit,
    "gfcf": lambda rows: GfCf.fit(rows, rank=5),
}


def interactions(seed: int = 0) -> sparse.csr_array:
    random = np.random.default_rng(seed)
    dense = (random.random((USERS, ITEMS)) < random.random(ITEMS) * 0.6).astype(np.float32)
    dense[0], dense[:, 0], dense[:, 5] = 0, 0, 0  # item 5 is never seen
    return sparse.csr_array(dense)


@pytest.fixture
def state() -> State:
    history = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0], [7, 9, 1, 2]])
    return State(history=history, mask=history > 0)


@pytest.fixture(params=FITS)
def fit(request):
    return FITS[request.param]


def test_is_a_scorer_of_the_history(fit, state):
    scorer = fit(interactions())
    assert isinstance(scorer, Scorer)
    scores = scorer.scores(state)
    assert scores.shape == (4, ITEMS)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert torch.allclose(scores, scorer.predict(multi_hot(state, ITEMS)))


def test_candidates_are_gathered_in_their_order(fit, state):
    scorer = fit(interactions())
    candidates = torch.tensor([[3, 1, 17], [2, 4, 0], [9, 8, 7], [1, 5, 6]])
    chosen = scorer.scores(State(state.history, state.mask, candidates=candidates))
    assert torch.equal(chosen, scorer.scores(state).gather(1, candidates))


def test_user_order_of_history_and_masked_entries_do_not_matter(fit, state):
    scorer = fit(interactions())
    named = State(state.history, state.mask, user=torch.tensor([1, 2, 3, 4]))
    flipped = State(state.history.flip(1), state.mask.flip(1))
    noisy = State(torch.where(state.mask, state.history, 11), state.mask)
    for other in (named, flipped, noisy):
        assert torch.allclose(scorer.scores(other), scorer.scores(state), atol=1e-6)


def test_sparse_rows_equal_dense_rows_and_each_row_stands_alone(fit):
    rows = interactions(1)
    scorer = fit(interactions())
    together = scorer.predict(rows)
    assert torch.allclose(scorer.predict(torch.from_numpy(rows.toarray())), together)
    assert torch.allclose(scorer.predict(rows[3:5]), together[3:5], atol=1e-6)


def test_renaming_items_renames_scores(fit):
    rows = interactions()
    order = np.r_[0, 1 + np.random.default_rng(2).permutation(ITEMS - 1)]
    users = np.random.default_rng(3).permutation(USERS)
    expected = fit(rows).predict(rows)[:, order]
    renamed = fit(sparse.csr_array(rows[users][:, order])).predict(sparse.csr_array(rows[:, order]))
    assert torch.allclose(renamed, expected, atol=1e-5)
