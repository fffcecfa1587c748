"""EASE is a ridge regression for each column, without the item itself."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import Ridge

from rlrec.closed_form import ease
from rlrec.closed_form.ease import Ease, gram


@pytest.fixture
def rows() -> sparse.csr_array:
    dense = (np.random.default_rng(0).random((30, 9)) < 0.4).astype(np.float32)
    dense[:, 0], dense[:, 4] = 0, 0
    return sparse.csr_array(dense)


def test_diagonal_is_0(rows):
    assert Ease.fit(rows).weights.diagonal().count_nonzero() == 0


def test_equals_ridge_for_each_column(rows):
    l2 = 3.0
    weights, dense = Ease.fit(rows, l2).weights, rows.toarray().astype(np.float64)
    for item in range(dense.shape[1]):
        others = np.delete(np.arange(dense.shape[1]), item)
        ridge = Ridge(alpha=l2, fit_intercept=False).fit(dense[:, others], dense[:, item])
        assert np.allclose(weights[others, item].numpy(), ridge.coef_, atol=1e-6)


def test_unseen_items_and_padding_stay_at_0(rows):
    weights = Ease.fit(rows).weights
    for item in (0, 4):
        assert weights[item].count_nonzero() == weights[:, item].count_nonzero() == 0


@pytest.mark.parametrize("block", [1, 4, 100])
def test_gram_does_not_depend_on_the_blocks(rows, block, monkeypatch):
    monkeypatch.setattr(ease, "BLOCK", block)
    dense = torch.from_numpy(rows.toarray()).double()
    assert torch.equal(gram(rows), dense.T @ dense)
