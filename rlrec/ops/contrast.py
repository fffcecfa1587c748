"""Losses that set a positive against others, and the penalty on the rows that take part."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def pairwise_loss(positive: Float[Tensor, "B"], negative: Float[Tensor, "B"]) -> Float[Tensor, ""]:
    """Bayesian personalised ranking: -mean ln σ(s⁺ - s⁻), in nats; ln 2 when the scores tie.

    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, section 4.1.
    """
    return -F.logsigmoid(positive - negative).mean()


def row_penalty(*rows: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """½ Σ ‖x‖² / B over the embedding rows of a batch: rare rows are not shrunk in batches that do not use them."""
    return torch.stack([table.square().sum() for table in rows]).sum() / (2 * rows[0].shape[0])


def info_nce(anchor: Float[Tensor, "N D"], view: Float[Tensor, "N D"], temperature: float) -> Float[Tensor, ""]:
    """-mean_n ln [exp(cos(a_n, v_n) / τ) / Σ_m exp(cos(a_n, v_m) / τ)], in nats.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, eq. 4.
    """
    cosine = F.normalize(anchor, dim=-1) @ F.normalize(view, dim=-1).T
    target = torch.arange(anchor.shape[0], device=anchor.device)
    return F.cross_entropy(cosine / temperature, target)
