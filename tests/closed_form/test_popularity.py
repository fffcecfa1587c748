"""Popularity counts users."""

import numpy as np
from scipy import sparse

from rlrec.closed_form.popularity import Popularity


def test_scores_are_the_column_sums_for_everybody():
    rows = sparse.csr_array(np.array([[0, 0, 0], [0, 1, 1], [0, 1, 0]], dtype=np.float32))
    assert Popularity.fit(rows).predict(rows).tolist() == [[0, 2, 1]] * 3
