"""Reproducible candidate sets: most by score, some along meta-paths of the history, a few from the long tail.

Nothing is drawn at random: the tail quota goes by a hash of (user, item, seed). Source: graph spec 2.1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from rlrec.errors import InputError
from rlrec.graph.bipartite import shape_of
from rlrec.graph.metapaths import MetaPaths

FIRST = 2.0  # lifts what a quota is meant for above what only fills it up, and leaves float32 its decimals
ORIGINS = ("score", "metapath", "tail")


@dataclass(frozen=True)
class Quotas:
    """How many candidates come from where."""

    total: int
    metapath: int
    tail: int


def choose(
    scores: Float[Tensor, "B I"],
    seen: Bool[Tensor, "B I"],
    affinity: Float[Tensor, "B I"],
    tail: Bool[Tensor, "I"],
    users: Int[Tensor, "B"],
    quotas: Quotas,
    seed: int,
) -> tuple[Int[Tensor, "B C"], Int[Tensor, "B C"]]:
    """Candidate ids and the index into ORIGINS of each. A quota that runs dry is filled by score.

    Raises:
        InputError: a user has fewer unseen items than candidates are asked for.
    """
    available = ~seen
    available[:, 0] = False
    fewest = int(available.sum(1).min())
    if fewest < quotas.total:
        raise InputError(
            f"a user has only {fewest} unseen items, but {quotas.total} candidates are asked for",
            rows=int((available.sum(1) < quotas.total).sum()),
            remedy=f"set world.candidates to at most {fewest}, and its quotas below that",
        )
    fallback = torch.sigmoid(scores - scores.mean(1, keepdim=True))
    wishes = (
        (quotas.total - quotas.metapath - quotas.tail, scores),
        (quotas.metapath, torch.where(affinity > 0, FIRST + affinity, fallback)),
        (quotas.tail, torch.where(tail, FIRST + hashed(users, scores.shape[1], seed), fallback)),
    )
    items: list[Tensor] = []
    origins: list[Tensor] = []
    for origin, (number, wish) in enumerate(wishes):
        ranked = wish.masked_fill(~available, -torch.inf).sort(dim=1, descending=True, stable=True).indices
        picked = ranked[:, :number]
        available = available.scatter(1, picked, False)
        items.append(picked)
        origins.append(torch.full_like(picked, origin))
    return torch.cat(items, 1), torch.cat(origins, 1)


def metapath_affinity(history: sparse.csr_array, paths: MetaPaths) -> Float[Tensor, "B I"]:
    """Σ_m Σ_{j ∈ history} W^(m)_ji, each path scaled to a largest weight of 1."""
    users, items = shape_of(history)
    total = np.zeros((users, items), dtype=np.float32)
    for neighbours, weights in zip(paths.neighbours, paths.weights, strict=True):
        source, place = np.nonzero(neighbours)
        values = weights[source, place] / max(float(weights.max()), np.finfo(np.float32).tiny)
        graph = sparse.csr_array((values, (source, neighbours[source, place])), shape=(items, items))
        total += np.asarray(sparse.csr_array(history @ graph).toarray(), dtype=np.float32)
    return torch.from_numpy(total)


def hashed(users: Int[Tensor, "B"], items: int, seed: int) -> Float[Tensor, "B I"]:
    """A number in [0, 1) for each (user, item, seed), the same on every machine. Source: SplitMix64, Steele (2014)."""
    with np.errstate(over="ignore"):
        word = users.numpy().astype(np.uint64)[:, None] * np.uint64(items) + np.arange(items, dtype=np.uint64)
        word = word * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
    return torch.from_numpy((word >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24))
