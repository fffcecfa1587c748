"""Item-based neighbourhoods: an item scores the sum of its similarities to the history."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from rlrec.batches import State, multi_hot
from rlrec.closed_form.rows import Rows, aligned, dense_rows
from rlrec.graph.bipartite import csr_tensor, shape_of
from rlrec.graph.metapaths import co_occurrence, strongest

NEIGHBOURS = 200  # within the 5 to 1,000 that Dacrema et al. search; chosen on the validation slice of MovieLens-100K


@dataclass(frozen=True)
class ItemKNN:
    """s_j = Σ_{i in history} S_ij, S_ij the cosine over users, kept for the nearest items of i.

    Source: Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001; set-valued feedback
    as in Dacrema et al., "Are We Really Making Much Progress?", RecSys 2019.
    """

    similarity: Float[Tensor, "I I"]

    @staticmethod
    def fit(interactions: sparse.csr_array, neighbours: int = NEIGHBOURS) -> "ItemKNN":
        """Cosines of the columns of zeros and ones `[U, I]`; the result is sparse, `neighbours` entries an item."""
        items = shape_of(interactions)[1]
        near, weight = strongest(co_occurrence(interactions), items, min(neighbours, items - 1))
        item, place = np.nonzero(near)
        cells = (near[item, place], item)
        return ItemKNN(csr_tensor(sparse.csr_array((weight[item, place], cells), shape=(items, items))))

    def predict(self, rows: Rows) -> Float[Tensor, "B I"]:
        """rows · S; the stored matrix is Sᵀ, because sparse tensors multiply from the left."""
        return (self.similarity @ dense_rows(rows).T).T

    def scores(self, state: State) -> Float[Tensor, "B C"]:
        """Scores of the candidates, or of all items, from the history alone."""
        return aligned(self.predict(multi_hot(state, self.similarity.shape[0])), state)
