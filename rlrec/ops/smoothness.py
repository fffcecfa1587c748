"""Penalties for scores that differ between items which a graph holds together."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def neighbour_places(
    candidates: Int[Tensor, "B C"], neighbours: Int[Tensor, "M I N"], size: int
) -> Int[Tensor, "M B C N"]:
    """Where each candidate's graph neighbours stand among the candidates of the same context; -1 when absent."""
    batch, count = candidates.shape
    place = torch.full((batch, size), -1, dtype=torch.long, device=candidates.device)
    place.scatter_(1, candidates, torch.arange(count, device=candidates.device).expand(batch, count))
    place[:, 0] = -1
    around = neighbours[:, candidates]
    return (
        place.view(1, batch, size).expand(len(neighbours), -1, -1).gather(2, around.flatten(2).long()).view_as(around)
    )


def dirichlet_energy(
    scores: Float[Tensor, "B C"], places: Int[Tensor, "M B C N"], weights: Float[Tensor, "M B C N"]
) -> Float[Tensor, "M B"]:
    """R = sᵀ(D - W)s / |C| = ½ Σ_ij W_ij (s_i - s_j)² / |C|, W symmetrised and scaled to trace(D) = |C| per context.

    Not negative, 0 for constant scores, unchanged by s -> s + c as softmax is. Contexts without an edge give 0.
    Source: graph spec 2.7 (`laplace`), there with trace 1, which makes the penalty vanish as 1/|C|.
    """
    inside = places >= 0
    weight = torch.where(inside, weights, 0.0)
    count, batch = places.shape[0], places.shape[1]
    other = scores.unsqueeze(0).expand(count, batch, -1).gather(2, places.clamp_min(0).flatten(2))
    gap = scores.view(1, batch, -1, 1) - other.view_as(places)
    total = weight.sum((2, 3))
    return 0.5 * (weight * gap**2).sum((2, 3)) / torch.where(total > 0, total, 1.0)


def metapath_penalty(energy: Float[Tensor, "M B"], preference: Float[Tensor, "M"], spread: float) -> Float[Tensor, "B"]:
    """Σ_m β_m R^(m) with β = softmax(b) learned, plus `spread` · KL(β ‖ uniform) so that β cannot collapse onto the
    emptiest graph. Source: graph spec 2.7 (`metapath`).
    """
    log_beta = torch.log_softmax(preference, dim=0)
    beta = log_beta.exp()
    collapse = (beta * (log_beta + torch.log(torch.tensor(float(len(preference)))))).sum()
    return (beta.unsqueeze(1) * energy).sum(0) + spread * collapse
