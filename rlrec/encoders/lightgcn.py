"""LightGCN: user and item tables, smoothed over the interaction graph without weights or nonlinearities."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from rlrec.batches import State
from rlrec.ops.propagation import propagate

SPREAD = 0.1  # standard deviation of the first values, as in the authors' code


class LightGCN(nn.Module):
    """E⁽ᵏ⁺¹⁾ = Â E⁽ᵏ⁾; the vectors are the mean over the layers k = `first`..`layers`. Without layers: plain tables.

    Source: He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020,
    eq. 7-8. `first` = 1 leaves the tables themselves out of the mean, as XSimGCL does.
    """

    adjacency: Tensor | None

    def __init__(
        self,
        users: int,
        items: int,
        width: int,
        layers: int,
        adjacency: Float[Tensor, "N N"] | None,
        *,
        generator: torch.Generator,
        first: int = 0,
    ) -> None:
        super().__init__()
        if layers and adjacency is None:
            raise ValueError("layers need the normalised adjacency")
        self.sizes = (users, items)
        self.layers, self.first = layers, min(first, layers)
        table = torch.randn(users + items, width, generator=generator, device=generator.device) * SPREAD
        table[[0, users]] = 0.0
        self.table = nn.Parameter(table)
        self.register_buffer("adjacency", adjacency, persistent=False)

    def by_layer(self, perturb: Callable[[Tensor], Tensor] | None = None) -> list[Float[Tensor, "N D"]]:
        """E⁽⁰⁾, ..., E⁽ᴸ⁾, users before items; `perturb` is applied after each propagation."""
        found: list[Tensor] = [self.table]
        for _ in range(self.layers):
            assert self.adjacency is not None
            smoothed = propagate(self.adjacency, found[-1])
            found.append(smoothed if perturb is None else perturb(smoothed))
        return found

    def readout(self, by_layer: list[Float[Tensor, "N D"]]) -> Float[Tensor, "N D"]:
        """The mean over the layers that count."""
        return torch.stack(by_layer[self.first :]).mean(0)

    def split(self, vectors: Float[Tensor, "N D"]) -> tuple[Float[Tensor, "U D"], Float[Tensor, "I D"]]:
        """Node vectors as users and items."""
        users, items = vectors.split(self.sizes)
        return users, items

    def forward(self) -> tuple[Float[Tensor, "U D"], Float[Tensor, "I D"]]:
        """The final vectors of all users and items."""
        return self.split(self.readout(self.by_layer()))

    def encode(self, state: State) -> Float[Tensor, "B D"]:
        """The vectors of the state's users; a user without interactions keeps what the table holds."""
        if state.user is None:
            raise ValueError("LightGCN knows users by id: the state has none")
        return self()[0][state.user]

    def items(self) -> Float[Tensor, "I D"]:
        """The vectors of all items, padding first."""
        return self()[1]
