"""Accuracy, coverage, popularity, diversity and novelty of ranked lists.

Every function takes `ranked` item ids, best first; 0 is padding and never counts. `relevant` is a boolean table over
items or padded ids. Per-user figures come as one vector, so that users can be resampled: 0 where `mask` is False, and
the mean over users is `rlrec.ops.masking.masked_mean(values, counted(relevant, mask))`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlrec.ops.masking import masked_mean

HEAD_SHARE = 0.8  # of the interactions: what the most popular items hold together is the head, the rest the tail

Relevant = Bool[Tensor, "B I"] | Int[Tensor, "B R"]


def hits(ranked: Int[Tensor, "B K"], relevant: Relevant) -> Bool[Tensor, "B K"]:
    """Which ranked items are relevant."""
    if relevant.dtype == torch.bool:
        found = relevant.gather(1, ranked.long())
    else:
        found = (ranked[:, :, None] == relevant[:, None, :]).any(-1)
    return found & (ranked > 0)


def relevant_count(relevant: Relevant) -> Int[Tensor, "B"]:
    """|R_u|: how many items are relevant to each user."""
    return relevant[:, 1:].sum(1) if relevant.dtype == torch.bool else (relevant > 0).sum(1)


def counted(relevant: Relevant, mask: Bool[Tensor, "B"] | None = None) -> Bool[Tensor, "B"]:
    """The users over whom accuracy is averaged: those of `mask` with at least one relevant item."""
    users = relevant_count(relevant) > 0
    return users if mask is None else users & mask


def recall(
    ranked: Int[Tensor, "B K"], relevant: Relevant, *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """|L_u ∩ R_u| / |R_u|."""
    share = hits(ranked, relevant).sum(1) / relevant_count(relevant).clamp(min=1)
    return share * counted(relevant, mask)


def precision(
    ranked: Int[Tensor, "B K"], relevant: Relevant, *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """|L_u ∩ R_u| / K; a list shorter than K is padded and pays for it."""
    return hits(ranked, relevant).sum(1) / ranked.shape[1] * counted(relevant, mask)


def hit_ratio(
    ranked: Int[Tensor, "B K"], relevant: Relevant, *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """1[L_u ∩ R_u ≠ ∅]."""
    return (hits(ranked, relevant).any(1) & counted(relevant, mask)).float()


def ndcg(
    ranked: Int[Tensor, "B K"], relevant: Relevant, *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """Σ_k 1[a_k ∈ R_u] / log₂(k+1), over its best possible value Σ_{k ≤ min(K, |R_u|)} 1 / log₂(k+1).

    Source: Järvelin and Kekäläinen, "Cumulated Gain-Based Evaluation of IR Techniques", TOIS 2002, with binary gains.
    """
    discount = 1 / torch.log2(torch.arange(2, ranked.shape[1] + 2, device=ranked.device))
    best = relevant_count(relevant).clamp(min=1, max=ranked.shape[1])
    ideal = discount.cumsum(0)[best - 1]
    return hits(ranked, relevant).float() @ discount / ideal * counted(relevant, mask)


def exposure_counts(ranked: Int[Tensor, "B K"], items: int) -> Int[Tensor, "I"]:
    """In how many lists each item stands."""
    counts = torch.bincount(ranked.flatten().long(), minlength=items)
    counts[0] = 0
    return counts


def coverage(ranked: Int[Tensor, "B K"], eligible: Bool[Tensor, "I"]) -> Float[Tensor, ""]:
    """|∪_u L_u| / |I|, over eligible items."""
    shown = exposure_counts(ranked, eligible.shape[0])[eligible] > 0
    return shown.float().mean()


def gini(ranked: Int[Tensor, "B K"], eligible: Bool[Tensor, "I"]) -> Float[Tensor, ""]:
    """Σ_j (2j - N - 1) e_j / (N Σ e): inequality of the exposure counts e, ascending.

    Items never shown are included. 0 when all N eligible items are shown equally often, (N-1)/N when one takes all.
    """
    exposure = exposure_counts(ranked, eligible.shape[0])[eligible].double().sort().values
    number = exposure.shape[0]
    rank = torch.arange(1, number + 1, device=exposure.device)
    weighted = ((2 * rank - number - 1) * exposure).sum()
    return (weighted / (number * exposure.sum()).clamp(min=1)).float()


def list_mean(
    ranked: Int[Tensor, "B K"], values: Float[Tensor, "I"], mask: Bool[Tensor, "B"] | None
) -> Float[Tensor, "B"]:
    """mean_{i ∈ L_u} v_i, without padding."""
    mean = masked_mean(values[ranked.long()], ranked > 0)
    return mean if mask is None else mean * mask


def average_popularity(
    ranked: Int[Tensor, "B K"], counts: Float[Tensor, "I"], *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """mean_{i ∈ L_u} c_i with c the training interactions of an item (ARP); lower is less popular.

    Source: Yin et al., "Challenging the Long Tail Recommendation", VLDB 2012.
    """
    return list_mean(ranked, counts, mask)


def tail_items(
    counts: Float[Tensor, "I"], eligible: Bool[Tensor, "I"], head_share: float = HEAD_SHARE
) -> Bool[Tensor, "I"]:
    """Eligible items outside the head: the fewest most popular items that hold `head_share` of the interactions.

    Ties in popularity are ordered by id.
    """
    order = counts.double().argsort(descending=True, stable=True)
    before = counts.double()[order].cumsum(0) - counts.double()[order]
    head = torch.zeros_like(eligible)
    head[order[before < head_share * counts.double().sum()]] = True
    return eligible & ~head


def tail_share(
    ranked: Int[Tensor, "B K"], tail: Bool[Tensor, "I"], *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """|L_u ∩ tail| / |L_u| (APLT). The share of head items is the rest.

    Source: Abdollahpouri et al., "Managing Popularity Bias in Recommender Systems with Personalized Re-ranking", 2019.
    """
    return list_mean(ranked, tail.float(), mask)


def novelty(
    ranked: Int[Tensor, "B K"], counts: Float[Tensor, "I"], *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """mean_{i ∈ L_u} -log₂(max(c_i, 1) / Σ c), in bits; an item without interactions is as novel as one with a single.

    Source: Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 2010.
    """
    share = counts.clamp(min=1) / counts.sum().clamp(min=1)
    return list_mean(ranked, -torch.log2(share), mask)


def intra_list_diversity(
    ranked: Int[Tensor, "B K"], vectors: Float[Tensor, "I D"], *, mask: Bool[Tensor, "B"] | None = None
) -> Float[Tensor, "B"]:
    """mean over pairs i ≠ j of L_u of 1 - cos(v_i, v_j), on content vectors and not on the model's own.

    An item without content is at distance 1 from every other; a list of one item has diversity 0.
    Source: Ziegler et al., "Improving Recommendation Lists Through Topic Diversification", WWW 2005.
    """
    rows = F.normalize(vectors[ranked.long()], dim=-1)
    present = ranked > 0
    pairs = present[:, :, None] & present[:, None, :]
    pairs &= ~torch.eye(ranked.shape[1], dtype=torch.bool, device=ranked.device)
    distance = 1 - rows @ rows.transpose(1, 2)
    diversity = masked_mean(distance.flatten(1), pairs.flatten(1))
    return diversity if mask is None else diversity * mask
