"""Most popular: the same order for everybody."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from rlrec.batches import State
from rlrec.closed_form.rows import Rows, aligned, dense_rows


@dataclass(frozen=True)
class Popularity:
    """s_i = c_i, the number of users who liked item i."""

    counts: Float[Tensor, "I"]

    @staticmethod
    def fit(interactions: sparse.csr_array) -> "Popularity":
        """Count the rows of zeros and ones `[U, I]`."""
        return Popularity(torch.from_numpy(np.asarray(interactions.sum(axis=0), dtype=np.float32)))

    def predict(self, rows: Rows) -> Float[Tensor, "B I"]:
        """The counts, once for each row."""
        return self.counts.expand(dense_rows(rows).shape[0], -1)

    def scores(self, state: State) -> Float[Tensor, "B C"]:
        """The counts of the candidates, or of all items."""
        return aligned(self.counts.expand(len(state), -1), state)
