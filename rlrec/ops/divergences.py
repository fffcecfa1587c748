"""Exact divergences between Plackett-Luce slate policies, by the chain rule along given slates.

Sums over what is left of the candidates are built from the back: the candidates outside the slate, then the slate in
reverse. That is O(C + K²) a slate instead of O(K·C), and adds only terms of one sign to each normaliser.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def log_normaliser(logits: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
    """log Σ_{i ∉ a_<k} e^{s_i} at every prefix of the slates."""
    chosen, outside = _split(logits, places)
    rest = outside.logsumexp(2, keepdim=True)
    return torch.logcumsumexp(torch.cat([rest, chosen.flip(2)], dim=2), dim=2)[..., 1:].flip(2)


def conditional_mean(
    logits: Float[Tensor, "B C"], values: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]
) -> Float[Tensor, "B G K"]:
    """E[v_i] under π(· | a_<k) ∝ e^{s_i} over the candidates not yet shown, at every prefix of the slates.

    A weighted mean of the values still to be shown and of the mean outside the slate; every weight is e to the power of
    a difference that is not positive, so nothing overflows and what is left never vanishes.
    """
    k = places.shape[2]
    chosen, outside = _split(logits, places)
    spread = values.unsqueeze(1).expand(-1, places.shape[1], -1)
    outside_mean = (torch.softmax(outside, dim=2) * spread).sum(2, keepdim=True)
    parts = torch.cat([chosen, outside.logsumexp(2, keepdim=True)], dim=2)
    held = torch.cat([spread.gather(2, places), outside_mean], dim=2)
    shown = torch.ones(k, k + 1, dtype=torch.bool, device=places.device).tril(-1)
    gap = parts.unsqueeze(2) - log_normaliser(logits, places).unsqueeze(3)
    return (gap.masked_fill(shown, -torch.inf).exp() * held.unsqueeze(2)).sum(3)


def _split(
    logits: Float[Tensor, "B C"], places: Int[Tensor, "B G K"]
) -> tuple[Float[Tensor, "B G K"], Float[Tensor, "B G C"]]:
    """The logits of the slates, and all logits with those of the slate put at the lowest number there is."""
    spread = logits.unsqueeze(1).expand(-1, places.shape[1], -1)
    return spread.gather(2, places), spread.scatter(2, places, torch.finfo(logits.dtype).min)


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
