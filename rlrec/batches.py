"""State, LoggedSlates, Rollouts: frozen, shaped tensors. Identifiers are dense, 0 is padding, `mask` True counts."""

from dataclasses import dataclass

import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlrec.errors import InputError


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


@dataclass(frozen=True)
class Contexts:
    """One decision each: its user, candidates, Stage-A score of each candidate (standardised) and its features."""

    user: Int[Tensor, "N"]
    candidates: Int[Tensor, "N C"]
    base: Float[Tensor, "N C"]
    features: Float[Tensor, "N C F"]

    def __len__(self) -> int:
        return self.user.shape[0]


def logged_slates(rows: pl.DataFrame, user: Int[Tensor, "N"]) -> LoggedSlates:
    """LOGGED_SLATES rows as tensors, requests in order; `context` is the place of the request's user in `user`.

    Exposure, θ-weighted, must have been recorded.

    Raises:
        InputError: slates differ in length, or a position is missing.
    """
    rows = rows.sort("request", "position")
    k = int(rows["position"].max()) + 1  # pyright: ignore[reportArgumentType] - a number, by the schema
    ragged = rows.group_by("request").len().filter(pl.col("len") != k)
    if ragged.height:
        raise InputError(
            f"slates are of different lengths; the longest has {k} positions, counted from 0",
            column="position",
            rows=int(ragged["len"].sum()),
            remedy="keep requests of one length, with positions 0, 1, 2, ...",
        )
    place = torch.full((int(user.max()) + 1,), -1, dtype=torch.long)
    place[user.long()] = torch.arange(len(user))

    def column(name: str) -> Tensor:
        return rows[name].to_torch().view(-1, k)

    return LoggedSlates(
        context=place[column("user")[:, 0].long()],
        items=column("item").long(),
        reward=column("reward").float(),
        propensity=column("propensity").float(),
        exposure=column("exposure").float(),
    )


def multi_hot(state: State, size: int) -> Float[Tensor, "B I"]:
    """The history as rows of zeros and ones over `size` item ids; padding and masked entries leave no trace."""
    rows = torch.zeros(len(state), size, device=state.history.device)
    rows.scatter_(1, state.history.long() * state.mask, 1.0)
    rows[:, 0] = 0.0
    return rows
