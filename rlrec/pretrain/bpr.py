"""Bayesian personalised ranking: a liked item above one that is not, by matrix factorisation or LightGCN.

Minimises -mean ln σ(e_u·e_i - e_u·e_j) + λ/2 Σ ‖x‖² / B over triples of a user u, a liked item i and an item j that u
has not liked; x are the table rows of the batch.

Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009; with layers: He et al.,
"LightGCN", SIGIR 2020.

Departs from the paper:
- Every positive is visited once an epoch in random order; the paper draws triples with replacement.
- Adam on batches in place of plain stochastic gradient descent on single triples, as in the LightGCN authors' code.
- Learning rate, λ and epochs are set by the validation slice of MovieLens-100K.
- One penalty for users, liked items and others, on batch rows, as in that code.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from scipy import sparse
from torch import Tensor

from rlrec.corpus import Corpus
from rlrec.encoders.lightgcn import LightGCN
from rlrec.graph.bipartite import POSITIVE_FROM, interactions, normalised_adjacency, shape_of
from rlrec.graph.sampling import Pairs
from rlrec.ops.contrast import pairwise_loss, row_penalty
from rlrec.runtime import Runtime, Start, Step, descend, restore, snapshot


class BPR(BaseModel):
    """Recipe of the pairwise ranking objective."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    algorithm: Literal["bpr"] = "bpr"
    """Tag of this recipe."""
    width: int = Field(default=64, ge=1)
    """Width of the vectors."""
    layers: int = Field(default=0, ge=0)
    """Propagations over the interaction graph; 0 is plain matrix factorisation."""
    epochs: int = Field(default=50, ge=1)
    """Passes over the positives."""
    batch_size: int = Field(default=2048, ge=1)
    """Triples in a step."""
    learning_rate: float = Field(default=5e-3, gt=0)
    """Adam's step size."""
    l2: float = Field(default=1e-2, ge=0)
    """λ, the weight of the penalty on the rows of a batch."""
    max_norm: float = Field(default=100.0, gt=0)
    """Largest gradient norm; far above what is seen, a guard and not a part of the method."""
    positive_from: float = POSITIVE_FROM
    """Lowest value that counts as liked."""


def bpr_loss(
    users: Float[Tensor, "B D"],
    positives: Float[Tensor, "B D"],
    negatives: Float[Tensor, "B D"],
    tables: tuple[Float[Tensor, "B D"], ...],
    l2: float,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The ranking loss plus λ times the penalty on the table rows `tables`."""
    above, below = (users * positives).sum(-1), (users * negatives).sum(-1)
    ranking, penalty = pairwise_loss(above, below), row_penalty(*tables)
    loss = ranking + l2 * penalty
    metrics = {
        "train/loss": loss.detach(),
        "train/ranking_loss": ranking.detach(),
        "train/penalty": penalty.detach(),
        "train/pair_accuracy": (above > below).float().mean(),
    }
    return loss, metrics


def train(recipe: BPR, corpus: Corpus, start: Start, runtime: Runtime) -> Iterator[Step]:
    """One Step an epoch, with means over its batches.

    `train/loss` the whole loss, `train/ranking_loss` and `train/penalty` its parts, `train/pair_accuracy` the share of
    triples whose liked item scores higher, `train/grad_norm` the gradient norm.
    """
    liked = interactions(corpus, ["train"], positive_from=recipe.positive_from)
    pairs = Pairs.of(liked, runtime.device)
    model = encoder(recipe, liked, runtime.generator).to(runtime.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    done = restore(model, optimiser, runtime, start)
    for epoch in range(done + 1, recipe.epochs + 1):
        reports = []
        for user, item, other in pairs.batches(recipe.batch_size, runtime.generator):
            users, items = model()
            table_users, table_items = model.split(model.table)
            rows = (table_users[user], table_items[item], table_items[other])
            loss, metrics = bpr_loss(users[user], items[item], items[other], rows, recipe.l2)
            reports.append(metrics | descend(loss, optimiser, model.parameters(), recipe.max_norm))
        means = {name: torch.stack([report[name] for report in reports]).mean() for name in reports[0]}
        yield Step(epoch, means, snapshot(model, optimiser, runtime, epoch))


def encoder(recipe: BPR, liked: sparse.csr_array, generator: torch.Generator) -> LightGCN:
    """Fresh tables over the users and items of the matrix."""
    graph = normalised_adjacency(liked) if recipe.layers else None
    users, items = shape_of(liked)
    return LightGCN(users, items, recipe.width, recipe.layers, graph, generator=generator)


@torch.no_grad()
def vectors(recipe: BPR, corpus: Corpus, model_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The final frozen vectors, `users` and `items`, of a trained model."""
    liked = interactions(corpus, ["train"], positive_from=recipe.positive_from)
    model = encoder(recipe, liked, torch.Generator())
    model.load_state_dict(dict(model_state))
    users, items = model()
    return {"users": users.clone(), "items": items.clone()}
