"""CandidateScorer: Stage-A score plus a learned correction from what is known of each candidate in its context.

`actor = mlp` of graph spec 2.8: s_i = s⁰_i + MLP(features_i) with a zero-initialised last layer, so that step 0 is
Stage A exactly.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlrec.batches import Contexts, State


class CandidateScorer(nn.Module):
    """[B, C] base scores and [B, C, F] features -> [B, C] scores. Features are standardised by stored moments."""

    centre: Tensor
    scale: Tensor

    def __init__(self, features: int, hidden: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        widths = [features, *[hidden] * layers]
        blocks: list[nn.Module] = []
        for wide, narrow in itertools.pairwise(widths):
            blocks += [_seeded(nn.Linear(wide, narrow), generator), nn.SiLU()]
        last = nn.Linear(widths[-1], 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.correction = nn.Sequential(*blocks, last)

    def standardise_by(self, features: Float[Tensor, "N C F"]) -> None:
        """Take mean and spread of these features as the units of every later call."""
        flat = features.reshape(-1, features.shape[-1])
        self.centre.copy_(flat.mean(0))
        self.scale.copy_(flat.std(0).clamp_min(1e-6))

    def forward(self, base: Float[Tensor, "B C"], features: Float[Tensor, "B C F"]) -> Float[Tensor, "B C"]:
        return base + self.correction((features - self.centre) / self.scale).squeeze(-1)


def _seeded(layer: nn.Linear, generator: torch.Generator) -> nn.Linear:
    bound = layer.in_features**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


class ContextScorer:
    """A Scorer over stored contexts: looks them up by `state.user`; scores align with `state.candidates`."""

    def __init__(self, scorer: CandidateScorer, contexts: Contexts) -> None:
        self.scorer = scorer
        self.contexts = contexts
        self.row = torch.full((int(contexts.user.max()) + 1,), -1, dtype=torch.long)
        self.row[contexts.user.long()] = torch.arange(len(contexts))

    def state(self, users: Tensor) -> State:
        """The stored contexts of these users as a State (empty history: the features carry it)."""
        rows = self.row[users.long()]
        empty = torch.zeros(len(users), 1, dtype=torch.long)
        return State(history=empty, mask=empty.bool(), user=users, candidates=self.contexts.candidates[rows])

    def scores(self, state: State) -> Float[Tensor, "B C"]:
        if state.user is None:
            raise ValueError("a ContextScorer looks contexts up by user: the state has none")
        rows = self.row[state.user.long()]
        return self.scorer(self.contexts.base[rows], self.contexts.features[rows])
