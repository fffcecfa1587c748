"""Slate distributions by brute force, written from the definition alone: what the closed forms are held against."""

from itertools import permutations

import torch
from torch import Tensor


def every_slate(size: int, k: int) -> Tensor:
    """All ordered slates of k distinct places out of `size`, `[1, G, K]`."""
    return torch.tensor(list(permutations(range(size), k))).unsqueeze(0)


def conditional(logits: Tensor, slate: list[int], j: int) -> Tensor:
    """π(· | the first j of the slate) over all candidates `[C]`, float64."""
    weight = torch.exp(logits.double() - logits.max())
    weight[slate[:j]] = 0.0
    return weight / weight.sum()


def probabilities(logits: Tensor, slates: Tensor) -> Tensor:
    """Plackett-Luce probability of each slate `[G]`, as a product of conditionals."""
    rows = slates[0].tolist()
    return torch.stack(
        [torch.stack([conditional(logits, row, j)[row[j]] for j in range(len(row))]).prod() for row in rows]
    )


def exact_marginals(logits: Tensor, k: int) -> Tensor:
    """π(i at k) `[K, C]`, by adding up the slates."""
    slates = every_slate(len(logits), k)
    return marginals_of(probabilities(logits, slates), slates, len(logits))


def marginals_of(probability: Tensor, slates: Tensor, size: int) -> Tensor:
    """Position marginals `[K, C]` of any distribution over the slates."""
    shown = torch.nn.functional.one_hot(slates[0], size).double()
    return (probability.view(-1, 1, 1) * shown).sum(0)


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def some_slates(batch: int, group: int, k: int, size: int, seed: int = 0) -> Tensor:
    """Seeded slates of distinct places `[B, G, K]`."""
    return draw(batch, group, size, seed=seed).argsort(2)[..., :k]
