"""Encoder, Scorer, Policy: the three shapes that evaluation and algorithms know."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlrec.batches import Rollouts, State


@runtime_checkable
class Encoder(Protocol):
    """Turns states and items into vectors of one space."""

    def encode(self, state: State) -> Float[Tensor, "B D"]: ...

    def items(self) -> Float[Tensor, "I D"]: ...


@runtime_checkable
class Scorer(Protocol):
    """Logits or values: `[B, C]` aligned with `state.candidates` when present, else `[B, I]` over all item ids."""

    def scores(self, state: State) -> Float[Tensor, "B C"]: ...


@runtime_checkable
class Policy(Protocol):
    """A distribution over slates of distinct eligible items. Log-probabilities are always per position; callers sum.

    For a slate-level mixture the value at position k is log π(A up to k) - log π(A before k) of the mixture, so that
    the sum is exact. Slates hold item ids; an item outside `candidates` has probability 0.
    """

    def log_prob(self, state: State, slates: Int[Tensor, "B G K"]) -> Float[Tensor, "B G K"]: ...

    def sample(self, state: State, k: int, group: int, generator: torch.Generator) -> Rollouts: ...

    def rank(self, state: State, k: int) -> Int[Tensor, "B K"]: ...
