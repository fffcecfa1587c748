"""One step of message passing on a fixed graph: normalised CSR adjacency x dense vectors."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor


class _Propagation(torch.autograd.Function):
    """A constant sparse matrix on the left: the backward is a product with the stored transpose.

    Autograd's own backward transposes the CSR matrix at every call, about three times slower.
    """

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, transpose: Tensor, vectors: Tensor) -> Tensor:
        ctx.transpose = transpose
        return adjacency @ vectors

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[None, None, Tensor]:
        (gradient,) = cast(tuple[Tensor], grad_outputs)
        return None, None, cast(Tensor, ctx.transpose) @ gradient.contiguous()


_apply = cast(Callable[[Tensor, Tensor, Tensor], Tensor], _Propagation.apply)  # pyright: ignore[reportUnknownMemberType]  # untyped in torch


def propagate(
    adjacency: Float[Tensor, "M N"], vectors: Float[Tensor, "N D"], transpose: Float[Tensor, "N M"] | None = None
) -> Float[Tensor, "M D"]:
    """A x, with gradient Aᵀ g for the vectors and none for the graph.

    `adjacency` and `transpose` are sparse CSR; leave `transpose` out when the adjacency is symmetric.
    """
    other = adjacency if transpose is None else transpose
    return _apply(adjacency, other, vectors)
