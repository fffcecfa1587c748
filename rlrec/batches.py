"""State, LoggedSlates, Rollouts: frozen, shaped tensors. Identifiers are dense, 0 is padding, `mask` True counts."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class State:
    """What a policy sees: interaction history, optionally who the user is and which items may be chosen."""

    history: Int[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    user: Int[Tensor, "B"] | None = None
    candidates: Int[Tensor, "B C"] | None = None

    def __len__(self) -> int:
        return self.history.shape[0]


@dataclass(frozen=True)
class LoggedSlates:
    """Slates that a logging policy showed, what came back, and how likely each item was at its position."""

    context: Int[Tensor, "N"]
    items: Int[Tensor, "N K"]
    reward: Float[Tensor, "N K"]
    propensity: Float[Tensor, "N K"]
    exposure: Float[Tensor, "N K"]


@dataclass(frozen=True)
class Rollouts:
    """Sampled slates of item ids, a group of G for each context, with per-position log-probabilities."""

    slates: Int[Tensor, "B G K"]
    log_prob: Float[Tensor, "B G K"]
    mask: Bool[Tensor, "B G K"]


def multi_hot(state: State, size: int) -> Float[Tensor, "B I"]:
    """The history as rows of zeros and ones over `size` item ids; padding and masked entries leave no trace."""
    rows = torch.zeros(len(state), size, device=state.history.device)
    rows.scatter_(1, state.history.long() * state.mask, 1.0)
    rows[:, 0] = 0.0
    return rows
