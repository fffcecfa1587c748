"""Positive pairs, and negatives drawn exactly uniformly from what a user has not liked."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from scipy import sparse
from torch import Tensor

from rlrec.graph.bipartite import shape_of


@dataclass(frozen=True)
class Pairs:
    """The positive pairs of a matrix, in order of user and item, and what is needed to draw others.

    `offset` is, for the j-th liked item i of user u, u·I + (i - 1 - j): how many items below i the user has not liked,
    in one ascending sequence over all users.
    """

    users: Int[Tensor, "E"]
    items: Int[Tensor, "E"]
    start: Int[Tensor, "U_1"]
    offset: Int[Tensor, "E"]
    size: int

    @staticmethod
    def of(interactions: sparse.csr_array, device: torch.device | None = None) -> "Pairs":
        """The pairs of a `[U, I]` matrix whose row and column 0 are padding."""
        interactions.sort_indices()
        size = shape_of(interactions)[1]
        start = torch.from_numpy(interactions.indptr).long()
        items = torch.from_numpy(interactions.indices).long()
        users = torch.repeat_interleave(torch.arange(len(start) - 1), start.diff())
        place = torch.arange(len(items)) - start[users]
        offset = users * size + items - 1 - place
        return Pairs(users.to(device), items.to(device), start.to(device), offset.to(device), size)

    def rankable(self) -> Int[Tensor, "P"]:
        """Which pairs have a negative at all: those of users who have not liked everything."""
        return torch.nonzero(self.free(self.users) > 0).flatten()

    def free(self, users: Int[Tensor, "B"]) -> Int[Tensor, "B"]:
        """How many items each of these users has not liked."""
        return self.size - 1 - (self.start[users + 1] - self.start[users])

    def negatives(self, users: Int[Tensor, "B"], generator: torch.Generator) -> Int[Tensor, "B"]:
        """One item for each user, uniform over the items that user has not liked; no rejection, no collision.

        Draw r in 0..n-1 among the n items not liked; the r-th of them is r + 1 + |{j: i_j - 1 - j ≤ r}|.
        """
        free = self.free(users)
        uniform = torch.rand(len(users), generator=generator, dtype=torch.float64, device=users.device)
        drawn = torch.minimum((uniform * free).long(), free - 1)
        below = torch.searchsorted(self.offset, users * self.size + drawn, right=True) - self.start[users]
        return drawn + 1 + below

    def batches(self, size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """User, liked item, other item: every rankable pair once, in random order, each with a fresh negative."""
        usable = self.rankable()
        order = usable[torch.randperm(len(usable), generator=generator, device=usable.device)]
        for chosen in order.split(size):
            users = self.users[chosen]
            yield users, self.items[chosen], self.negatives(users, generator)
