"""Surrogate objectives whose gradient is a policy gradient."""

import torch
from jaxtyping import Float
from torch import Tensor


def clipped_surrogate(
    ratio: Float[Tensor, "*S"], advantage: Float[Tensor, "*S"], below: float, above: float
) -> Float[Tensor, "*S"]:
    """min(ρ a, clip(ρ, 1 - ε_l, 1 + ε_h) a), to be maximised; at ρ = 1 its gradient is REINFORCE's.

    Source: Schulman et al. (2017), PPO, eq. 7, with the two-sided ε of Yu et al. (2025), DAPO.
    """
    return torch.minimum(ratio * advantage, ratio.clamp(1.0 - below, 1.0 + above) * advantage)


def clip_share(
    ratio: Float[Tensor, "*S"], advantage: Float[Tensor, "*S"], below: float, above: float
) -> Float[Tensor, ""]:
    """Share of entries where clipping takes the gradient away."""
    high = (ratio > 1.0 + above) & (advantage > 0)
    low = (ratio < 1.0 - below) & (advantage < 0)
    return (high | low).float().mean()


def reinforce(log_prob: Float[Tensor, "*S"], advantage: Float[Tensor, "*S"]) -> Float[Tensor, "*S"]:
    """log π · a, to be maximised. Source: Williams (1992)."""
    return log_prob * advantage
