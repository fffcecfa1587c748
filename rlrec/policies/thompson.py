"""Bernoulli Thompson sampling: what it would show where, from Beta beliefs about each item's reward."""

import numpy as np
from jaxtyping import Float, Float64

CHUNK = 10_000  # draws at a time


def position_marginals(
    alpha: Float[np.ndarray, "I"],
    beta: Float[np.ndarray, "I"],
    positions: int,
    draws: int,
    generator: np.random.RandomState,
) -> Float64[np.ndarray, "I K"]:
    """How often each item comes at each position: shares of `draws` lists, each sorted by its θ_i ~ Beta(α_i, β_i).

    Every draw is taken in its turn from the legacy stream, so that a seed gives the table that Open Bandit Pipeline's
    `BernoulliTS.compute_batch_action_dist` gives, to the last count.
    Source: Saito et al. 2021 (Open Bandit Dataset and Pipeline), section 5.
    """
    items = len(alpha)
    counts = np.zeros((positions, items), dtype=np.int64)
    for start in range(0, draws, CHUNK):
        theta = generator.beta(alpha, beta, size=(min(CHUNK, draws - start), items))
        shown = np.argsort(-theta, axis=1)[:, :positions]
        for position, chosen in enumerate(shown.T):
            counts[position] += np.bincount(chosen, minlength=items)
    return counts.T / draws
