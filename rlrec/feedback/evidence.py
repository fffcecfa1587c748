"""What a log of slates says about each (user, candidate) pair, and what it lets one claim about unseen slates.

Three things are made of the same log and must not see one another: features of a decision, the reward model f, and the
doubly-robust correction. Requests are dealt into folds. The context of fold m knows the log without fold m; its f was
fitted on the other folds, on features without fold m and without the fold of the row itself; its correction is the mean
over fold m. So ŷ = f + correction is unbiased for y given the features (graph spec 2.4).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlrec.batches import Contexts, LoggedSlates
from rlrec.closed_form.ease import Ease
from rlrec.closed_form.gfcf import GfCf
from rlrec.feedback.reward_model import RewardModel
from rlrec.ops.slates import discounts, places_of, standardise

CHUNK = 1024  # contexts scored at once
FEATURES = (
    "stage_a",
    "ease_history",
    "gfcf_history",
    "ease_clicks",
    "ease_surprise",
    "own_rate",
    "own_examined",
    "item_rate",
    "user_rate",
    "popularity",
)


class Feedback(BaseModel):
    """How the log becomes contexts and counterfactual rewards."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    folds: Annotated[int, Field(ge=2)] = 4
    """Folds that requests are dealt into."""
    exposure_floor: Annotated[float, Field(ge=0.0)] = 0.01
    """c of max(ω_0, c) in the correction; 0 is unbiased, larger trades bias for variance."""
    own_prior: Annotated[float, Field(gt=0.0)] = 4.0
    """Examinations that the overall click rate counts for in a user's own rate of an item."""
    item_prior: Annotated[float, Field(gt=0.0)] = 20.0
    """The same for an item's rate over all users."""
    trees: Annotated[int, Field(ge=1)] = 150
    """Boosting rounds of the reward model."""
    leaves: Annotated[int, Field(ge=2)] = 15
    """Leaves of each tree."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 0.06
    """Shrinkage of each round."""
    smallest_leaf: Annotated[int, Field(ge=1)] = 200
    """Impressions a leaf must hold."""


@dataclass(frozen=True)
class Surroundings:
    """What is known of each decision without the log: its candidates, three scores of each, and item relations."""

    user: Tensor
    candidates: Tensor
    stage_a: Float[Tensor, "N C"]
    ease_history: Float[Tensor, "N C"]
    gfcf_history: Float[Tensor, "N C"]
    popularity: Float[Tensor, "N C"]
    relations: Float[Tensor, "I I"]


def look_around(
    user: Tensor,
    candidates: Tensor,
    history: sp.csr_array,
    vectors: Mapping[str, Tensor],
    ease: Ease,
    gfcf: GfCf,
    popularity: np.ndarray,
) -> Surroundings:
    """Score these candidates with what was fitted on `train`, given each user's rows of `history` [N, I]."""

    def at(scorer: Ease | GfCf) -> Tensor:
        return torch.cat(
            [
                scorer.predict(history[start : start + CHUNK]).gather(1, candidates[start : start + CHUNK])
                for start in range(0, len(user), CHUNK)
            ]
        )

    products = (vectors["users"][user].unsqueeze(1) * vectors["items"][candidates]).sum(2)
    return Surroundings(
        user=user,
        candidates=candidates,
        stage_a=standardise(products),
        ease_history=standardise(at(ease)),
        gfcf_history=standardise(at(gfcf)),
        popularity=torch.from_numpy(np.log1p(popularity)).float()[candidates],
        relations=ease.weights,
    )


@dataclass(frozen=True)
class Counts:
    """Clicks and examinations (Σ θ_k of showings) of each (context, item id) in some part of the log, as CSR [N, I]."""

    clicks: sp.csr_array
    examined: sp.csr_array

    @property
    def rate(self) -> float:
        """Clicks per examination overall."""
        return float(self.clicks.sum() / max(self.examined.sum(), 1e-9))


@dataclass(frozen=True)
class Evidence:
    """Contexts with the reward model's view and the correction's two sums, all [N, C]."""

    contexts: Contexts
    q_hat: Float[Tensor, "N C"]
    observed: Float[Tensor, "N C"]
    shown: Float[Tensor, "N C"]


def count(log: LoggedSlates, keep: np.ndarray, shape: tuple[int, int]) -> Counts:
    """Clicks and examinations of the kept rows of the log."""
    k = log.items.shape[1]
    rows = np.repeat(log.context.numpy()[keep], k)
    columns = log.items.numpy()[keep].ravel()
    theta = np.tile(discounts(k).numpy(), int(keep.sum()))
    clicks = sp.csr_array((log.reward.numpy()[keep].ravel(), (rows, columns)), shape=shape)
    return Counts(clicks, sp.csr_array((theta, (rows, columns)), shape=shape))


def describe(around: Surroundings, counts: Counts, feedback: Feedback) -> Float[Tensor, "N C F"]:
    """The features of `FEATURES` for every candidate, from the part of the log in `counts`."""
    rate = counts.rate
    floor = max(rate, 1e-9)
    surprise = counts.clicks - rate * counts.examined
    clicks, examined = _at(counts.clicks, around.candidates), _at(counts.examined, around.candidates)
    relations = around.relations.numpy()
    own = (clicks + feedback.own_prior * rate) / (examined + feedback.own_prior) / floor - 1.0
    item_clicks, item_examined = counts.clicks.sum(0), counts.examined.sum(0)
    item = (item_clicks + feedback.item_prior * floor) / (item_examined + feedback.item_prior) / floor
    total, shown = counts.clicks.sum(1), counts.examined.sum(1)
    user = (total + feedback.own_prior) / (shown + feedback.own_prior / floor) / floor
    shape = around.candidates.shape
    columns = {
        "stage_a": around.stage_a,
        "ease_history": around.ease_history,
        "gfcf_history": around.gfcf_history,
        "ease_clicks": _related(counts.clicks, relations, around.candidates),
        "ease_surprise": _related(surprise, relations, around.candidates),
        "own_rate": own,
        "own_examined": torch.log1p(examined),
        "item_rate": torch.from_numpy(np.log(item)).float()[around.candidates.long()],
        "user_rate": torch.from_numpy(np.log(user)).float().unsqueeze(1).expand(shape),
        "popularity": around.popularity,
    }
    return torch.stack([columns[name].float() for name in FEATURES], dim=2)


def cross_fit(around: Surroundings, log: LoggedSlates, feedback: Feedback, seed: int) -> Evidence:
    """One context for each (user, fold), as the module docstring says. Rows run fold by fold."""
    shape = (len(around.user), around.relations.shape[0])
    folds = fold_of(log, feedback.folds)
    without = {
        frozenset(left): describe(around, count(log, ~np.isin(folds, left), shape), feedback)
        for left in _left_out(feedback.folds)
    }
    parts: list[Evidence] = []
    for fold in range(feedback.folds):
        others = [other for other in range(feedback.folds) if other != fold]
        model = RewardModel.fit(
            [_impressions(around, log, folds == other, without[frozenset({fold, other})]) for other in others],
            feedback.trees, feedback.leaves, feedback.learning_rate, feedback.smallest_leaf, seed,
        )  # fmt: skip
        features = without[frozenset({fold})]
        observed, shown = correction(around, log, folds == fold, feedback.exposure_floor)
        contexts = Contexts(around.user, around.candidates, around.stage_a, features)
        parts.append(Evidence(contexts, model.predict(features), observed, shown))
    return Evidence(
        Contexts(*(torch.cat([getattr(p.contexts, n) for p in parts]) for n in Contexts.__dataclass_fields__)),
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("q_hat", "observed", "shown")),
    )


def fit_reward_model(around: Surroundings, log: LoggedSlates, feedback: Feedback, seed: int) -> RewardModel:
    """f for decisions outside this log: every row's features leave out its own fold."""
    shape = (len(around.user), around.relations.shape[0])
    folds = fold_of(log, feedback.folds)
    parts = [
        _impressions(around, log, folds == fold, describe(around, count(log, folds != fold, shape), feedback))
        for fold in range(feedback.folds)
    ]
    return RewardModel.fit(parts, feedback.trees, feedback.leaves, feedback.learning_rate, feedback.smallest_leaf, seed)


def correction(
    around: Surroundings, log: LoggedSlates, keep: np.ndarray, floor: float
) -> tuple[Float[Tensor, "N C"], Float[Tensor, "N C"]]:
    """Means over the kept requests of Σ_k 1[a_k = i] r_k / max(ω_0, c) and of Σ_k 1[a_k = i] θ_k / max(ω_0, c).

    A shown item that is no candidate says nothing about one.
    """
    index = torch.from_numpy(np.flatnonzero(keep))
    context, items = log.context[index].long(), log.items[index]
    places = places_of(items.unsqueeze(1), around.candidates[context]).squeeze(1)
    weight = (places >= 0) / log.exposure[index].clamp_min(max(floor, torch.finfo(torch.float32).tiny))
    size = around.candidates.shape[1]
    cells = (context.unsqueeze(1) * size + places.clamp_min(0)).reshape(-1)
    requests = torch.bincount(context, minlength=len(around.user)).clamp_min(1).unsqueeze(1)
    sums: list[Tensor] = []
    for value in (log.reward[index] * weight, discounts(items.shape[1]) * weight):
        total = torch.zeros(len(around.user) * size).index_add_(0, cells, value.reshape(-1).float())
        sums.append(total.view(-1, size) / requests)
    return sums[0], sums[1]


def fold_of(log: LoggedSlates, folds: int) -> np.ndarray:
    """The fold of each request: its ordinal within its context, modulo the number of folds."""
    context = log.context.numpy()
    order = np.argsort(context, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(context[order])) + 1]
    ordinal = np.empty(len(context), dtype=np.int64)
    ordinal[order] = np.arange(len(context)) - np.repeat(starts, np.diff(np.r_[starts, len(context)]))
    return ordinal % folds


def _left_out(folds: int) -> list[list[int]]:
    return [[a] for a in range(folds)] + [[a, b] for a in range(folds) for b in range(a + 1, folds)]


def _at(matrix: sp.csr_array, candidates: Tensor) -> Float[Tensor, "N C"]:
    rows = np.repeat(np.arange(candidates.shape[0]), candidates.shape[1])
    cells = matrix[rows, candidates.numpy().ravel()]
    return torch.from_numpy(np.asarray(cells)).float().view(candidates.shape)


def _related(matrix: sp.csr_array, relations: np.ndarray, candidates: Tensor) -> Tensor:
    parts = [
        torch.from_numpy(matrix[start : start + CHUNK] @ relations).float().gather(1, candidates[start : start + CHUNK])
        for start in range(0, candidates.shape[0], CHUNK)
    ]
    return torch.cat(parts)


def _impressions(
    around: Surroundings, log: LoggedSlates, keep: np.ndarray, features: Tensor
) -> Mapping[str, np.ndarray]:
    """Rows for the reward model: features of the shown item, r/θ as the target and θ as the weight."""
    index = torch.from_numpy(np.flatnonzero(keep))
    context, items = log.context[index].long(), log.items[index]
    places = places_of(items.unsqueeze(1), around.candidates[context]).squeeze(1)
    theta = discounts(items.shape[1]).expand_as(log.reward[index])
    known = places >= 0
    return {
        "features": features[context.unsqueeze(1), places.clamp_min(0)][known].numpy(),
        "target": (log.reward[index] / theta)[known].numpy(),
        "weight": theta[known].numpy(),
    }
