"""PlackettLuce(scorer): any Scorer becomes a Policy over slates, by composition; optionally with uniform exploration.

Source: Plackett (1975); slate-level ε-mixture of graph spec 2.2.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlrec.batches import Rollouts, State
from rlrec.ops.slates import (
    greedy_top_k,
    gumbel_top_k,
    mixture_log_prob,
    places_of,
    plackett_luce_log_prob,
    uniform_log_prob,
)
from rlrec.protocols import Scorer

NEVER = -1e9


class PlackettLuce:
    """π(A) = (1-ε) Π_k softmax over what is left of s/τ + ε · uniform permutation, over the eligible candidates."""

    def __init__(self, scorer: Scorer, temperature: float, eligible: Bool[Tensor, "I"], epsilon: float = 0.0) -> None:
        self.scorer = scorer
        self.temperature = temperature
        self.eligible = eligible
        self.epsilon = epsilon

    def candidates(self, state: State) -> Int[Tensor, "B C"]:
        """The context's candidates, or every item id when the state names none."""
        if state.candidates is not None:
            return state.candidates
        return torch.arange(len(self.eligible), device=state.history.device).expand(len(state), -1)

    def logits(self, state: State) -> Float[Tensor, "B C"]:
        """s/τ, and a number that softmax turns into 0 for what may not be shown."""
        allowed = self.eligible[self.candidates(state)]
        return (self.scorer.scores(state) / self.temperature).masked_fill(~allowed, NEVER)

    def log_prob(self, state: State, slates: Int[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
        """Per-position log-probabilities; -inf from the first item on that is no eligible candidate or repeats."""
        candidates = self.candidates(state)
        logits = self.logits(state)
        places = places_of(slates, candidates)
        known = (places >= 0) & self.eligible[slates]
        repeated = (slates.unsqueeze(-1) == slates.unsqueeze(-2)).tril(-1).any(-1)
        possible = (known & ~repeated).cumprod(-1).bool()
        safe = torch.where(possible, places, _spare_places(places, possible, candidates.shape[1]))
        exploited = plackett_luce_log_prob(logits, safe)
        count = self.eligible[candidates].sum(1)
        explored = uniform_log_prob(count, slates.shape[-1]).unsqueeze(1).expand_as(exploited)
        return mixture_log_prob(exploited, explored, self.epsilon).masked_fill(~possible, -torch.inf)

    def sample(self, state: State, k: int, group: int, generator: torch.Generator) -> Rollouts:
        """`group` slates for each context, with the log-probabilities they were drawn with.

        Where a context has fewer than k eligible candidates, 0 fills up and the mask is False.
        """
        logits = self.logits(state)
        if self.epsilon > 0.0:
            uniform = torch.rand(len(state), group, 1, generator=generator, device=logits.device) < self.epsilon
            flat = torch.where(logits <= NEVER, NEVER, 0.0)
            places = torch.where(
                uniform, gumbel_top_k(flat, k, group, generator), gumbel_top_k(logits, k, group, generator)
            )
        else:
            places = gumbel_top_k(logits, k, group, generator)
        candidates = self.candidates(state)
        slates = candidates.unsqueeze(1).expand(-1, group, -1).gather(2, places)
        mask = self.eligible[slates]
        slates = slates.masked_fill(~mask, 0)
        return Rollouts(slates=slates, log_prob=self.log_prob(state, slates).masked_fill(~mask, 0.0), mask=mask)

    def rank(self, state: State, k: int) -> Int[Tensor, "B K"]:
        """The most probable slate: candidates by score; 0 where a context has fewer than k eligible candidates."""
        logits = self.logits(state)
        places = greedy_top_k(logits, k)
        items = self.candidates(state).gather(1, places)
        return torch.where(logits.gather(1, places) > NEVER, items, 0)


def _spare_places(places: Int[Tensor, "B G K"], possible: Bool[Tensor, "B G K"], size: int) -> Int[Tensor, "B G K"]:
    """Distinct unused places to stand in for impossible items, so that the arithmetic stays finite."""
    used = torch.zeros(*places.shape[:2], size + 1, dtype=torch.bool, device=places.device)
    used.scatter_(2, torch.where(possible, places, size), True)
    free = used[..., :size].int().argsort(dim=2, stable=True)
    order = (~possible).cumsum(-1) - 1
    return free.gather(2, order.clamp_min(0))
