"""Group-relative advantages: what a slate is worth compared with the others drawn for the same context."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from rlrec.ops.slates import reward_to_go

SPREAD_FLOOR = 1e-4
DEGENERATE_RANGE = 1e-8


def zscore(reward: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """(R_g - mean) / (std + 1e-4), unbiased std. Blows up near-tied groups. Source: Shao et al. (2024), GRPO."""
    return (reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + SPREAD_FLOOR)


def center(reward: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """R_g - mean_g R: no division by the spread. Source: Liu et al. (2025), Dr. GRPO."""
    return reward - reward.mean(1, keepdim=True)


def leave_one_out(reward: Float[Tensor, "B G"]) -> Float[Tensor, "B G"]:
    """R_g - mean_{g'≠g} R: the unbiased group baseline. Source: Kool et al. (2019); Ahmadian et al. (2024), RLOO."""
    group = reward.shape[1]
    return (reward - reward.mean(1, keepdim=True)) * (group / (group - 1))


def softmax(reward: Float[Tensor, "B G"], temperature: float = 1.0) -> Float[Tensor, "B G"]:
    """G · softmax(R/η)_g - 1: zero-mean, bounded below by -1. Source: graph spec 2.5."""
    return reward.shape[1] * torch.softmax(reward / temperature, dim=1) - 1.0


def rank_to_go(reward: Float[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
    """Σ_{j≥k} r_j centred over the group at each rank: a position is not credited for what stood before it.

    Source: Zhu et al. (2025), Rank-GRPO, with reward-to-go; without the division by the per-rank spread.
    """
    to_go = reward_to_go(reward)
    return to_go - to_go.mean(1, keepdim=True)


def degenerate(reward: Float[Tensor, "B G"]) -> Bool[Tensor, "B"]:
    """Groups whose rewards do not differ: nothing to learn from, and a z-score would amplify rounding."""
    return (reward.max(1).values - reward.min(1).values) < DEGENERATE_RANGE
