"""Means over what counts: `mask` is True where a value counts, and nothing that does not count leaves a trace."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(values: Float[Tensor, "*S"], mask: Bool[Tensor, "*S"], dim: int = -1) -> Float[Tensor, "..."]:
    """Mean over the entries that count: Σ m x / max(Σ m, 1). Zero where none counts."""
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum(dim) / mask.sum(dim).clamp(min=1)
