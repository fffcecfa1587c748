"""ItemKNN against a sum of cosines."""

import numpy as np
import torch
from scipy import sparse

from rlrec.closed_form.itemknn import ItemKNN


def test_equals_the_sum_of_the_nearest_cosines():
    dense = (np.random.default_rng(0).random((30, 9)) < 0.4).astype(np.float64)
    dense[:, 0] = 0
    size = np.sqrt(dense.sum(0))
    cosine = np.divide(dense.T @ dense, np.outer(size, size), out=np.zeros((9, 9)), where=np.outer(size, size) > 0)
    np.fill_diagonal(cosine, 0)
    kept = np.zeros_like(cosine)
    for item, row in enumerate(cosine):
        near = sorted(range(9), key=lambda other: (-np.float32(row[other]), other))[:3]
        kept[item, near] = row[near]
    scores = ItemKNN.fit(sparse.csr_array(dense.astype(np.float32)), neighbours=3).predict(torch.from_numpy(dense))
    assert np.allclose(scores.numpy(), dense @ kept, atol=1e-5)
