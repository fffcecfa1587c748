"""Plackett-Luce slates over a candidate set: log-probabilities, sampling, mixtures, position marginals, gains.

Slates are given here as *places* in the candidate axis (0..C-1); policies translate to item ids.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK_ELEMENTS = 1_000_000
WIDEST_GAP = 300.0  # nats below the largest logit that count as so many: e^600 is still a float64
CONSTANT = 1e-6  # a spread this small beside the values themselves is rounding


def discounts(k: int) -> Float[Tensor, "K"]:
    """Examination of position k under the logarithmic discount: θ_k = 1 / log₂(k + 1), k = 1..K.

    Source: Järvelin and Kekäläinen (2002); used as the position-based model's known curve.
    """
    return 1.0 / torch.log2(torch.arange(2, k + 2, dtype=torch.float32))


def standardise(scores: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """Zero mean, unit standard deviation within each context; rows that are constant up to rounding become 0."""
    centred = scores - scores.mean(1, keepdim=True)
    spread = centred.pow(2).mean(1, keepdim=True).sqrt()
    differs = spread > CONSTANT * scores.abs().amax(1, keepdim=True)
    return torch.where(differs, centred / torch.where(differs, spread, 1.0), 0.0)


def plackett_luce_log_prob(logits: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
    """log π(a_k | a_<k) = s_{a_k} - logsumexp of s over the candidates not yet shown.

    One logsumexp of the candidates outside the slate, then a reversed running logsumexp over the slate.
    Source: Plackett (1975), Luce (1959); graph spec 2.2.
    """
    batch, group, _ = places.shape
    spread = logits.unsqueeze(1).expand(batch, group, logits.shape[-1])
    chosen = spread.gather(2, places)
    lowest = torch.finfo(logits.dtype).min
    rest = torch.logsumexp(spread.scatter(2, places, lowest), dim=2, keepdim=True)
    behind = torch.logcumsumexp(torch.cat([rest, chosen.flip(2)], dim=2), dim=2)[..., 1:].flip(2)
    return chosen - behind


def gumbel_top_k(logits: Float[Tensor, "B C"], k: int, group: int, generator: torch.Generator) -> Int[Tensor, "B G K"]:
    """Exact Plackett-Luce samples: add Gumbel noise to the logits and take the k largest, in order.

    Source: Yellott (1977); Kool et al. (2019), eq. 5.
    """
    shape = (logits.shape[0], group, logits.shape[1])
    uniform = torch.rand(shape, dtype=logits.dtype, device=logits.device, generator=generator)
    waiting = -torch.log(uniform.clamp_(min=torch.finfo(logits.dtype).tiny))
    return (logits.unsqueeze(1) - torch.log(waiting)).topk(k, dim=2).indices


def greedy_top_k(logits: Float[Tensor, "B C"], k: int) -> Int[Tensor, "B K"]:
    """The k largest logits in order; ties go to the earlier candidate, so that equal inputs give equal slates."""
    return logits.sort(dim=1, descending=True, stable=True).indices[:, :k]


def uniform_log_prob(candidates: Int[Tensor, "B"], k: int) -> Float[Tensor, "B K"]:
    """log 1/(n - k + 1) for k = 1..K: a uniform permutation of n candidates, position by position."""
    taken = torch.arange(k, device=candidates.device)
    return -torch.log((candidates.unsqueeze(1) - taken).clamp_min(1).float())


def mixture_log_prob(
    first: Float[Tensor, "*S K"], second: Float[Tensor, "*S K"], epsilon: float
) -> Float[Tensor, "*S K"]:
    """Per-position log-probabilities of the slate mixture (1-ε)·first + ε·second: log π(A_≤k) - log π(A_<k).

    The mixture is drawn once a slate, so its prefixes mix; the values sum to the slate's log-probability exactly.
    """
    if epsilon == 0.0:
        return first
    share = first.new_tensor([1.0 - epsilon, epsilon]).log()
    prefix = torch.logaddexp(first.cumsum(-1) + share[0], second.cumsum(-1) + share[1])
    return torch.diff(prefix, dim=-1, prepend=torch.zeros_like(prefix[..., :1]))


def plackett_luce_marginals(
    logits: Float[Tensor, "B C"], k: int, prefixes: int, generator: torch.Generator
) -> Float[Tensor, "B K C"]:
    """π(i at k), by averaging exact conditionals over sampled prefixes; position 1 is exact, rows sum to 1.

    π(i at k | prefix) = e^{s_i} 1[i ∉ prefix] / Σ_{j ∉ prefix} e^{s_j}; only terms of one sign are added, so that
    nothing cancels where a few candidates hold nearly all of the mass.
    """
    marginals = torch.cat([mean for (mean,) in _moments(logits, k, prefixes, generator, powers=(1,))])
    return (marginals / marginals.sum(2, keepdim=True)).float()


def marginal_errors(
    logits: Float[Tensor, "B C"], k: int, prefixes: int, generator: torch.Generator
) -> Float[Tensor, "B K C"]:
    """Monte Carlo standard errors of `plackett_luce_marginals` with as many prefixes: √((E[p²] - E[p]²) / (n - 1)).

    Both moments are of the same prefixes: of two samples, their difference would be noise.
    """
    parts = [square - mean**2 for mean, square in _moments(logits, k, prefixes, generator, powers=(1, 2))]
    return (torch.cat(parts).clamp_min(0.0) / max(1, prefixes - 1)).sqrt().float()


def _moments(
    logits: Float[Tensor, "B C"], k: int, prefixes: int, generator: torch.Generator, powers: tuple[int, ...]
) -> Iterator[tuple[Float[Tensor, "b K C"], ...]]:
    """Means over prefixes of π(i at k | prefix)^power, for a few contexts at a time."""
    batch, size = logits.shape
    wide = logits.double()
    probability = torch.softmax(torch.maximum(wide, wide.amax(1, keepdim=True) - WIDEST_GAP), dim=1)
    chunk = max(1, CHUNK_ELEMENTS // (prefixes * size))
    for start in range(0, batch, chunk):
        p = probability[start : start + chunk]
        places = gumbel_top_k(logits[start : start + chunk], k, prefixes, generator)
        shown = p.unsqueeze(1).expand(-1, prefixes, -1).gather(2, places)
        unseen = torch.ones(len(p), prefixes, size, dtype=p.dtype, device=p.device).scatter_(2, places, 0.0)
        left = unseen @ p.unsqueeze(2) + shown.flip(2).cumsum(2).flip(2)
        sums: list[Tensor] = []
        for j in reversed(range(k)):  # from the whole slate back to the empty prefix
            unseen.scatter_(2, places[..., j : j + 1], 1.0)
            density = torch.stack([left[..., j] ** -power for power in powers], dim=1)
            sums.append(density @ unseen / prefixes)
        whole = torch.stack(sums[::-1], dim=2)
        yield tuple(whole[:, at] * p.unsqueeze(1) ** power for at, power in enumerate(powers))


def reward_to_go(reward: Float[Tensor, "*S K"]) -> Float[Tensor, "*S K"]:
    """Suffix sums Σ_{j≥k} r_j: what a position and all after it bring."""
    return reward.flip(-1).cumsum(-1).flip(-1)


def places_of(items: Int[Tensor, "B G K"], candidates: Int[Tensor, "B C"]) -> Int[Tensor, "B G K"]:
    """Where each item stands among its context's candidates; -1 when it is not there."""
    match = items.unsqueeze(-1) == candidates[:, None, None, :]
    found: Bool[Tensor, "B G K"] = match.any(-1)
    return torch.where(found, match.int().argmax(-1), -1)
