"""Graph contrastive learning: pairwise ranking with LightGCN, and vectors that survive noise (XSimGCL, SimGCL).

Minimises -mean ln σ(e_u·e_i - e_u·e_j) + λ_2/2 Σ ‖x‖² / B + λ (InfoNCE over users + InfoNCE over items of the batch).
XSimGCL makes one pass with noise after each layer and contrasts the final vectors with those of an inner layer; SimGCL
ranks without noise and contrasts two further noisy passes.

Source: Yu et al., "XSimGCL: Towards Extremely Simple Graph Contrastive Learning for Recommendation", TKDE 2023,
section 4; Yu et al., "Are Graph Augmentations Necessary?", SIGIR 2022 (SimGCL).

Departs from the paper:
- Tables start from N(0, 0.1) as in LightGCN; the authors' code uses Xavier's uniform.
- The penalty is ½ ‖x‖² / B on table rows, negatives included, as in LightGCN; the authors' code takes plain norms of
  the final vectors, without the negatives.
- λ 0.05, λ_2 0.001, learning rate 0.01 and 30 epochs are set by the validation slice of MovieLens-100K. With λ 0.2 and
  learning rate 0.001 the contrast outweighs the ranking on so dense a graph: after 40 epochs it ranks below popularity.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse
from torch import Tensor

from rlrec.corpus import Corpus
from rlrec.encoders.lightgcn import LightGCN
from rlrec.graph.bipartite import POSITIVE_FROM, interactions, normalised_adjacency, shape_of
from rlrec.graph.sampling import Pairs
from rlrec.ops.contrast import info_nce, pairwise_loss, row_penalty
from rlrec.runtime import Runtime, Start, Step, descend, restore, snapshot


class GraphCL(BaseModel):
    """Recipe of the graph contrastive objective."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    algorithm: Literal["graph_cl"] = "graph_cl"
    """Tag of this recipe."""
    contrast: Literal["xsimgcl", "simgcl"] = "xsimgcl"
    """Final against an inner layer in one noisy pass, or two noisy passes against each other."""
    width: int = Field(default=64, ge=1)
    """Width of the vectors."""
    layers: int = Field(default=2, ge=1)
    """Propagations over the interaction graph; the vectors are the mean of their results, without the tables."""
    contrast_layer: int = Field(default=1, ge=0)
    """l*, the layer that XSimGCL sets against the final vectors."""
    noise: float = Field(default=0.2, ge=0)
    """ε, the length of the noise added to each vector after each propagation."""
    temperature: float = Field(default=0.15, gt=0)
    """τ of InfoNCE."""
    contrast_weight: float = Field(default=0.05, ge=0)
    """λ, the weight of the contrast; the paper takes 0.2 on sparser graphs."""
    epochs: int = Field(default=30, ge=1)
    """Passes over the positives."""
    batch_size: int = Field(default=2048, ge=1)
    """Triples in a step."""
    learning_rate: float = Field(default=1e-2, gt=0)
    """Adam's step size."""
    l2: float = Field(default=1e-3, ge=0)
    """λ_2, the weight of the penalty on the table rows of a batch."""
    max_norm: float = Field(default=100.0, gt=0)
    """Largest gradient norm; far above what is seen, a guard and not a part of the method."""
    positive_from: float = POSITIVE_FROM
    """Lowest value that counts as liked."""

    @model_validator(mode="after")
    def inner_layer_exists(self) -> "GraphCL":
        """The contrasted layer is one of those there are."""
        if self.contrast_layer > self.layers:
            raise ValueError(f"contrast_layer {self.contrast_layer} is beyond the {self.layers} layers")
        return self


def graph_cl_loss(
    users: Float[Tensor, "B D"],
    positives: Float[Tensor, "B D"],
    negatives: Float[Tensor, "B D"],
    tables: tuple[Float[Tensor, "B D"], ...],
    user_views: tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]],
    item_views: tuple[Float[Tensor, "M D"], Float[Tensor, "M D"]],
    *,
    l2: float,
    contrast_weight: float,
    temperature: float,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Ranking loss + λ_2 penalty on the rows `tables` + λ contrast of the distinct users and items of the batch."""
    above, below = (users * positives).sum(-1), (users * negatives).sum(-1)
    ranking, penalty = pairwise_loss(above, below), row_penalty(*tables)
    contrast = info_nce(*user_views, temperature) + info_nce(*item_views, temperature)
    loss = ranking + l2 * penalty + contrast_weight * contrast
    metrics = {
        "train/loss": loss.detach(),
        "train/ranking_loss": ranking.detach(),
        "train/penalty": penalty.detach(),
        "train/contrast": contrast.detach(),
        "train/pair_accuracy": (above > below).float().mean(),
    }
    return loss, metrics


def signed_noise(vectors: Float[Tensor, "N D"], uniform: Float[Tensor, "N D"], length: float) -> Float[Tensor, "N D"]:
    """x + ε sign(x) ⊙ Δ / ‖Δ‖ with Δ ~ U(0, 1): each vector moves by ε and stays in its orthant.

    Source: XSimGCL, eq. 6-7.
    """
    return vectors + length * vectors.sign() * F.normalize(uniform, dim=-1)


def train(recipe: GraphCL, corpus: Corpus, start: Start, runtime: Runtime) -> Iterator[Step]:
    """One Step an epoch, with means over its batches.

    `train/loss` the whole loss; `train/ranking_loss`, `train/penalty`, `train/contrast` its parts, unweighted;
    `train/pair_accuracy` the share of triples whose liked item scores higher; `train/grad_norm` the gradient norm.
    """
    liked = interactions(corpus, ["train"], positive_from=recipe.positive_from)
    pairs = Pairs.of(liked, runtime.device)
    model = encoder(recipe, liked, runtime.generator).to(runtime.device)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
    done = restore(model, optimiser, runtime, start)
    for epoch in range(done + 1, recipe.epochs + 1):
        reports = []
        for user, item, other in pairs.batches(recipe.batch_size, runtime.generator):
            final, one, two = views(recipe, model, runtime.generator)
            (users, items), (tables_u, tables_i) = model.split(final), model.split(model.table)
            (users_one, items_one), (users_two, items_two) = model.split(one), model.split(two)
            some_users, some_items = user.unique(), item.unique()
            loss, metrics = graph_cl_loss(
                users[user],
                items[item],
                items[other],
                (tables_u[user], tables_i[item], tables_i[other]),
                (users_one[some_users], users_two[some_users]),
                (items_one[some_items], items_two[some_items]),
                l2=recipe.l2,
                contrast_weight=recipe.contrast_weight,
                temperature=recipe.temperature,
            )
            reports.append(metrics | descend(loss, optimiser, model.parameters(), recipe.max_norm))
        means = {name: torch.stack([report[name] for report in reports]).mean() for name in reports[0]}
        yield Step(epoch, means, snapshot(model, optimiser, runtime, epoch))


def views(recipe: GraphCL, model: LightGCN, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The vectors that rank, and the two views to contrast."""

    def perturb(smoothed: Tensor) -> Tensor:
        uniform = torch.rand(smoothed.shape, generator=generator, device=smoothed.device)
        return signed_noise(smoothed, uniform, recipe.noise)

    noisy = model.by_layer(perturb)
    if recipe.contrast == "xsimgcl":
        final = model.readout(noisy)
        return final, final, noisy[recipe.contrast_layer]
    return model.readout(model.by_layer()), model.readout(noisy), model.readout(model.by_layer(perturb))


def encoder(recipe: GraphCL, liked: sparse.csr_array, generator: torch.Generator) -> LightGCN:
    """Fresh tables over the users and items of the matrix, and its graph; layer 0 stays out of the mean."""
    users, items = shape_of(liked)
    graph = normalised_adjacency(liked)
    return LightGCN(users, items, recipe.width, recipe.layers, graph, generator=generator, first=1)


@torch.no_grad()
def vectors(recipe: GraphCL, corpus: Corpus, model_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The final frozen vectors without noise, `users` and `items`, of a trained model."""
    liked = interactions(corpus, ["train"], positive_from=recipe.positive_from)
    model = encoder(recipe, liked, torch.Generator())
    model.load_state_dict(dict(model_state))
    users, items = model()
    return {"users": users.clone(), "items": items.clone()}
