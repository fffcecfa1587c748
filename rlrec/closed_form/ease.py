"""EASE: the linear item-to-item model with zero diagonal, in closed form."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from scipy import sparse
from torch import Tensor

from rlrec.batches import State, multi_hot
from rlrec.closed_form.rows import Rows, aligned, dense_rows
from rlrec.graph.bipartite import shape_of

L2 = 200.0  # the penalty λ; chosen on the validation slice of MovieLens-100K (the paper: 500 on MovieLens-20M)
BLOCK = 1024  # columns of the Gram matrix multiplied at once


@dataclass(frozen=True)
class Ease:
    """s = x B with B the minimiser of ‖R - R B‖² + λ ‖B‖² under diag B = 0: B_ij = -P_ij / P_jj, P = (RᵀR + λ I)⁻¹.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8.
    """

    weights: Float[Tensor, "I I"]

    @staticmethod
    def fit(interactions: sparse.csr_array, l2: float = L2) -> "Ease":
        """Solve from the rows of zeros and ones `[U, I]`, in float64.

        Needs 24 I² bytes at its peak and keeps 4 I² (I = 1,683: 68 MB and 11 MB; I = 20,000: 9.6 GB and 1.6 GB), and
        about I³ operations.
        """
        system = gram(interactions)
        system.diagonal().add_(l2)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(system))
        weights = inverse.div_(-inverse.diagonal().clone())
        weights.fill_diagonal_(0.0)
        return Ease(weights.float())

    def predict(self, rows: Rows) -> Float[Tensor, "B I"]:
        """rows · B."""
        return dense_rows(rows) @ self.weights

    def scores(self, state: State) -> Float[Tensor, "B C"]:
        """Scores of the candidates, or of all items, from the history alone."""
        return aligned(self.predict(multi_hot(state, self.weights.shape[0])), state)


def gram(interactions: sparse.csr_array) -> Float64[Tensor, "I I"]:
    """RᵀR, dense, in blocks of columns: a sparse result would need more memory than the dense one."""
    size = shape_of(interactions)[1]
    by_item, columns = sparse.csr_array(interactions.T), sparse.csc_array(interactions)
    product = np.empty((size, size), dtype=np.float64)
    for start in range(0, size, BLOCK):
        product[:, start : start + BLOCK] = (by_item @ columns[:, start : start + BLOCK]).toarray()
    return torch.from_numpy(product)
