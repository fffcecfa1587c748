"""Rows of interactions as every closed-form scorer takes them, and scores as a State asks for them."""

import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

from rlrec.batches import State

Rows = sparse.csr_array | Tensor


def dense_rows(rows: Rows) -> Float[Tensor, "B I"]:
    """Interaction rows as a float32 tensor. A SciPy matrix is made dense: hand over as many rows as memory allows."""
    return rows.float() if isinstance(rows, Tensor) else torch.from_numpy(rows.toarray()).float()


def aligned(scores: Float[Tensor, "B I"], state: State) -> Float[Tensor, "B C"]:
    """The scores of the state's candidates, in their order; of all items when there are none."""
    return scores if state.candidates is None else scores.gather(1, state.candidates.long())
