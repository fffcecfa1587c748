"""GF-CF against its formula on dense matrices."""

import numpy as np
import pytest
import torch
from scipy import sparse

from rlrec.closed_form.gfcf import GfCf


@pytest.fixture
def rows() -> sparse.csr_array:
    dense = (np.random.default_rng(0).random((25, 12)) < 0.4).astype(np.float32)
    dense[0], dense[:, 0], dense[:, 4] = 0, 0, 0
    return sparse.csr_array(dense)


@pytest.mark.parametrize(("alpha", "rank"), [(0.3, 4), (2.0, 7), (0.0, 3)])
def test_equals_the_dense_formula(rows, alpha, rank):
    dense = rows.toarray().astype(np.float64)
    users, items = dense.sum(1), dense.sum(0)
    left = np.diag([d**-0.5 if d else 0.0 for d in users])
    right = np.diag([d**-0.5 if d else 0.0 for d in items])
    smooth = left @ dense @ right
    lowest = np.linalg.svd(smooth)[2][:rank].T
    expected = dense @ (smooth.T @ smooth + alpha * right @ lowest @ lowest.T @ np.diag(np.sqrt(items)))
    assert np.allclose(GfCf.fit(rows, alpha, rank).predict(rows).numpy(), expected, atol=1e-5)


def test_rank_is_cut_to_what_the_matrix_has(rows):
    assert GfCf.fit(rows).lowest.shape == (12, 11)


def test_is_deterministic(rows):
    assert torch.equal(GfCf.fit(rows).predict(rows), GfCf.fit(rows).predict(rows))
