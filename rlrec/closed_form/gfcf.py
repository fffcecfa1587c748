"""GF-CF: a linear and an ideal low-pass filter on the item graph, in closed form."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import svds
from torch import Tensor

from rlrec.batches import State, multi_hot
from rlrec.closed_form.rows import Rows, aligned, dense_rows
from rlrec.graph.bipartite import csr_tensor, normalised, shape_of

ALPHA = 0.3  # weight of the ideal low-pass filter, as published for Gowalla
RANK = 256  # singular vectors it lets pass, as published
SEED = 0  # of the starting vector of the Lanczos iteration; the result does not depend on it beyond rounding


@dataclass(frozen=True)
class GfCf:
    """s = x (R̃ᵀR̃ + α D_I^-½ V Vᵀ D_I^½) with R̃ = D_U^-½ R D_I^-½ and V its first right singular vectors.

    Source: Shen et al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021, section 4.3.
    """

    smoothing: Float[Tensor, "U I"]
    smoothing_transpose: Float[Tensor, "I U"]
    lowest: Float[Tensor, "I R"]
    root_degree: Float[Tensor, "I"]
    alpha: float

    @staticmethod
    def fit(interactions: sparse.csr_array, alpha: float = ALPHA, rank: int = RANK) -> "GfCf":
        """Normalise and decompose the rows of zeros and ones `[U, I]`.

        Memory grows with the entries and with I · rank.
        """
        smoothing = normalised(interactions)
        narrow = min(shape_of(smoothing))
        start = np.random.default_rng(SEED).standard_normal(narrow)
        lowest = cast(np.ndarray, svds(smoothing, k=min(rank, narrow - 1), v0=start)[2])
        degree = np.asarray(interactions.sum(axis=0), dtype=np.float64)
        return GfCf(
            smoothing=csr_tensor(smoothing),
            smoothing_transpose=csr_tensor(sparse.csr_array(smoothing.T)),
            lowest=torch.from_numpy(np.ascontiguousarray(lowest.T)).float(),
            root_degree=torch.from_numpy(np.sqrt(degree)).float(),
            alpha=alpha,
        )

    def predict(self, rows: Rows) -> Float[Tensor, "B I"]:
        """Both filters applied to the rows, without ever forming an I x I matrix."""
        x = dense_rows(rows)
        linear = (self.smoothing_transpose @ (self.smoothing @ x.T)).T
        inverse = torch.where(self.root_degree > 0, 1 / self.root_degree, 0.0)
        ideal = (x * inverse) @ self.lowest @ self.lowest.T * self.root_degree
        return linear + self.alpha * ideal

    def scores(self, state: State) -> Float[Tensor, "B C"]:
        """Scores of the candidates, or of all items, from the history alone."""
        return aligned(self.predict(multi_hot(state, self.lowest.shape[0])), state)
