"""CandidateScorer: Stage-A score plus a learned correction from what is known of each candidate in its context.

`actor = mlp` of graph spec 2.8: s_i = s⁰_i + MLP(features_i) with a zero-initialised last layer, so that step 0 is
Stage A exactly.
"""

import itertools

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rlrec.batches import Contexts, State
from rlrec.ops.slates import CONSTANT, places_of


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
        """Take mean and spread of these features as the units of every later call; one that never varies keeps its own.

        Dividing by a tiny spread would blow up a feature that is constant here and not where the scorer serves.
        """
        flat = features.reshape(-1, features.shape[-1])
        spread = flat.std(0)
        self.centre.copy_(flat.mean(0))
        self.scale.copy_(torch.where(spread > CONSTANT * flat.abs().amax(0), spread, 1.0))

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

    def rows(self, users: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Where the contexts of these users are stored; a user without one is an error."""
        known = (users > 0) & (users < len(self.row))
        rows = self.row[torch.where(known, users, 0).long()]
        if bool((rows < 0).any()):
            raise ValueError(f"no stored context for the users {users[rows < 0].tolist()}")
        return rows

    def state(self, users: Int[Tensor, "B"]) -> State:
        """The stored contexts of these users as a State (empty history: the features carry it)."""
        empty = torch.zeros(len(users), 1, dtype=torch.long)
        candidates = self.contexts.candidates[self.rows(users)]
        return State(history=empty, mask=empty.bool(), user=users, candidates=candidates)

    def scores(self, state: State) -> Float[Tensor, "B C"]:
        if state.user is None or state.candidates is None:
            raise ValueError("a ContextScorer scores the stored candidates of users: the state must name both")
        rows = self.rows(state.user)
        places = places_of(state.candidates.unsqueeze(1), self.contexts.candidates[rows]).squeeze(1)
        if bool((places < 0).any()):
            raise ValueError("the state has candidates that its stored context has not")
        return self.scorer(self.contexts.base[rows], self.contexts.features[rows]).gather(1, places)
