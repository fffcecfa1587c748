"""Exact divergences between Plackett-Luce slate policies, by the chain rule along given slates.

Sums over what is left of the candidates are built from the back: the candidates outside the slate, then the slate in
reverse. That is O(C + K) a slate instead of O(K·C), and adds only terms of one sign to each normaliser.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def log_normaliser(logits: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
    """log Σ_{i ∉ a_<k} e^{s_i} at every prefix of the slates."""
    spread = logits.unsqueeze(1).expand(-1, places.shape[1], -1)
    chosen = spread.gather(2, places)
    rest = spread.scatter(2, places, torch.finfo(logits.dtype).min).logsumexp(2, keepdim=True)
    return torch.logcumsumexp(torch.cat([rest, chosen.flip(2)], dim=2), dim=2)[..., 1:].flip(2)


def conditional_mean(
    logits: Float[Tensor, "B C"], values: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]
) -> Float[Tensor, "B G K"]:
    """E[v_i] under π(· | a_<k) ∝ e^{s_i} over the candidates not yet shown, at every prefix of the slates."""
    group = places.shape[1]
    share = torch.softmax(logits, dim=1)

    def left(mass: Float[Tensor, "B C"]) -> Float[Tensor, "B G K"]:
        spread = mass.unsqueeze(1).expand(-1, group, -1)
        outside = spread.scatter(2, places, 0.0).sum(2, keepdim=True)
        return torch.cat([outside, spread.gather(2, places).flip(2)], dim=2).cumsum(2)[..., 1:].flip(2)

    return left(share * values) / left(share).clamp_min(torch.finfo(logits.dtype).tiny)


def chain_rule_kl(
    logits: Float[Tensor, "B C"], reference: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]
) -> Float[Tensor, "B G"]:
    """Σ_k KL(π(·|a_<k) ‖ q(·|a_<k)), inner sums exact over the candidates; its mean over A ~ π is KL(π ‖ q).

    When the prefixes come from another policy, the score-function part is left out: a penalty, slightly biased as a
    divergence. Source: chain rule of relative entropy; graph spec 2.6.
    """
    gap = conditional_mean(logits, logits - reference, places)
    return (gap - log_normaliser(logits, places) + log_normaliser(reference, places)).sum(2)


def chain_rule_entropy(logits: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]) -> Float[Tensor, "B G"]:
    """Σ_k H(π(·|a_<k)) in nats; its mean over A ~ π is the entropy of the slate distribution."""
    return (log_normaliser(logits, places) - conditional_mean(logits, logits, places)).sum(2)
