"""The default world: position-based clicks on logged slates, with a known truth (graph spec 2.13).

The response model is fitted on the `feedback` slice alone, which nothing that trains ever sees. Its constants are
defaults of `World`, committed before the first comparison and never chosen by who wins.
"""

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm, rankdata
from torch import Tensor

from rlrec.batches import LoggedSlates
from rlrec.ops.slates import discounts, gumbel_top_k, marginal_errors, plackett_luce_marginals

EXACT_PAIRS = 60_000_000
SAMPLED_PAIRS = 5_000_000

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class World(BaseModel, frozen=True):
    """Constants of the simulated world."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    positive_from: float = 4.0
    """Ratings from here on are positives; events without a value are positives."""
    candidates: Annotated[int, Field(ge=2)] = 100
    """Size of each user's candidate set."""
    slate: Annotated[int, Field(ge=1)] = 10
    """Positions K of a slate; θ_k = 1/log₂(k+1)."""
    metapath_candidates: Annotated[int, Field(ge=0)] = 15
    """Candidates taken from meta-path neighbours of the history (graph spec 2.1)."""
    tail_candidates: Annotated[int, Field(ge=0)] = 5
    """Candidates drawn from the long tail by a seeded hash of the user."""
    response_l2: float = 100.0
    """Ridge of the EASE that the response model is; reproduces the published scale (oracle about 1.8)."""
    response_slope: float = 1.5
    """Slope on normal scores: y = σ(slope (z - b))."""
    mean_click: Share = 0.05
    """b is solved so that mean y over all pairs is this."""
    temperature: float = 1.0
    """Of the logging policy, on standardised BPR-MF scores."""
    epsilon: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    """Share of slates that are a uniform permutation of the candidates."""
    train_requests: Annotated[int, Field(ge=4)] = 20
    """Requests per user in `log_train`: what RL and refitted baselines may learn from."""
    select_requests: Annotated[int, Field(ge=1)] = 5
    """Requests per user in `log_select`: checkpoints, early stop, tuning."""
    eval_requests: Annotated[int, Field(ge=1)] = 10
    """Requests per user in `log_eval`: reported estimates only."""
    prefixes: Annotated[int, Field(ge=2)] = 2_000
    """Sampled prefixes behind each position marginal."""
    seed: int = 20_261_122
    """Of the logger's training, the slates and the clicks."""

    @model_validator(mode="after")
    def candidates_suffice(self) -> "World":
        """A candidate set holds a slate, and its quotas fit into it."""
        quotas = self.metapath_candidates + self.tail_candidates
        if self.slate > self.candidates:
            raise ValueError(f"slate is {self.slate}, but there are only {self.candidates} candidates")
        if quotas > self.candidates:
            raise ValueError(f"the quotas of meta-paths and tail add up to {quotas} of {self.candidates} candidates")
        return self


def normal_scores(values: np.ndarray, seed: int) -> np.ndarray:
    """Φ⁻¹ of the mid-rank over all pairs, ties sharing one. Beyond 60 M pairs ranks come from a seeded sample."""
    flat = values.ravel()
    if flat.size <= EXACT_PAIRS:
        return norm.ppf((rankdata(flat) - 0.5) / flat.size).reshape(values.shape).astype(np.float32)
    sample = np.sort(np.random.default_rng(seed).choice(flat, SAMPLED_PAIRS, replace=False))
    below, up_to = np.searchsorted(sample, flat, "left"), np.searchsorted(sample, flat, "right")
    middle = np.clip((below + up_to) / 2, 0.5, SAMPLED_PAIRS - 0.5)
    return norm.ppf(middle / SAMPLED_PAIRS).reshape(values.shape).astype(np.float32)


def click_probability(scores: np.ndarray, world: World) -> np.ndarray:
    """y(x, i) = σ(slope (z - b)) for `scores` [U, I] without padding; b solved so that the mean is `mean_click`."""
    z = normal_scores(scores, world.seed)
    offset = brentq(lambda b: float(expit(world.response_slope * (z - b)).mean()) - world.mean_click, -10.0, 20.0)
    return expit(world.response_slope * (z - offset)).astype(np.float32)


def logging_marginals(
    logits: Float[Tensor, "B C"], world: World, generator: torch.Generator
) -> tuple[Float[Tensor, "B K C"], float]:
    """π_0(i at k) = (1-ε)·PL marginal + ε/|C|, and the largest Monte Carlo standard error among them."""
    marginals = plackett_luce_marginals(logits, world.slate, world.prefixes, generator)
    error = marginal_errors(logits, world.slate, world.prefixes, generator)
    mixed = (1.0 - world.epsilon) * marginals + world.epsilon / logits.shape[1]
    return mixed, float((1.0 - world.epsilon) * error.max())


def log_requests(
    logits: Float[Tensor, "B C"],
    candidates: Int[Tensor, "B C"],
    marginals: Float[Tensor, "B K C"],
    click: Float[Tensor, "B C"],
    requests: int,
    world: World,
    generator: torch.Generator,
) -> LoggedSlates:
    """Show `requests` slates to each context and record clicks r_k ~ Bernoulli(θ_k y), propensity and exposure.

    Rows run request by request within a context. Exposure is ω_0(i|x) = Σ_k θ_k π_0(i at k).
    """
    batch, size = logits.shape
    exploit = gumbel_top_k(logits, world.slate, requests, generator)
    explore = gumbel_top_k(torch.zeros_like(logits), world.slate, requests, generator)
    mixed = torch.rand(batch, requests, 1, generator=generator) < world.epsilon
    places = torch.where(mixed, explore, exploit)
    examination = discounts(world.slate)
    spread = (batch, requests, size)
    chance = click.unsqueeze(1).expand(spread).gather(2, places) * examination
    reward = (torch.rand(chance.shape, generator=generator) < chance).float()
    exposure = (examination.view(1, -1, 1) * marginals).sum(1)
    propensity = marginals.gather(2, places.transpose(1, 2)).transpose(1, 2)
    return LoggedSlates(
        context=torch.arange(batch).repeat_interleave(requests),
        items=candidates.unsqueeze(1).expand(spread).gather(2, places).reshape(-1, world.slate),
        reward=reward.reshape(-1, world.slate),
        propensity=propensity.reshape(-1, world.slate),
        exposure=exposure.unsqueeze(1).expand(spread).gather(2, places).reshape(-1, world.slate),
    )


def true_value(click: Float[Tensor, "B C"], marginals: Float[Tensor, "B K C"]) -> Float[Tensor, "B"]:
    """V(x) = Σ_k θ_k Σ_i π(i at k|x) y(x, i): expected clicks a slate, exactly, for each context."""
    return (discounts(marginals.shape[1]).view(1, -1, 1) * marginals * click.unsqueeze(1)).sum((1, 2))


def greedy_marginals(places: Int[Tensor, "B K"], size: int) -> Float[Tensor, "B K C"]:
    """Position marginals of a policy that always shows these places: zeros and ones."""
    return torch.nn.functional.one_hot(places, size).float()
