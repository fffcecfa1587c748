"""Importance ratios of the policy being trained against the policy that drew the slates."""

import torch
from jaxtyping import Float
from torch import Tensor


def position_ratio(log_prob: Float[Tensor, "B G K"], behaviour: Float[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
    """ρ_{g,k} = π_θ(a_k | a_<k) / π_old(a_k | a_<k). Source: graph spec 2.6."""
    return torch.exp(log_prob - behaviour)


def slate_ratio(log_prob: Float[Tensor, "B G K"], behaviour: Float[Tensor, "B G K"]) -> Float[Tensor, "B G K"]:
    """exp(mean_k log ρ_{g,k}), the same at every position: the sequence ratio. Source: Zheng et al. (2025), GSPO."""
    mean = (log_prob - behaviour).mean(-1, keepdim=True)
    return torch.exp(mean).expand_as(log_prob)
