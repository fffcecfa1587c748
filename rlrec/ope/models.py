"""Reward and weight models for single actions, fitted on folds that hold out whole users or stretches of time.

A model never predicts a row of its own fold, so the variance of DR's contributions is its error whatever the model
(Chernozhukov et al. 2018). Models are functions: anything with scikit-learn's `fit` and `predict_proba` will do.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from rlrec.errors import InputError
from rlrec.ope.estimators import Estimate, contributions
from rlrec.ope.rounds import Rounds

Array = np.ndarray
Predictor = Callable[[Float64[Array, "M D"]], Float64[Array, "M"]]
LARGEST_ODDS = 1e6  # of a classifier that is certain


@runtime_checkable
class Classifier(Protocol):
    """What scikit-learn calls a classifier."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any: ...  # noqa: N803  # scikit-learn's name

    def predict_proba(self, X: Any) -> Any: ...  # noqa: N803  # scikit-learn's name


@dataclass(frozen=True, eq=False)
class Choices:
    """What a model of single actions reads: features of every pair (context, action), the target policy, the action."""

    pairs: Float64[Array, "N A D"]
    target: Float64[Array, "N A"]
    action: Int64[Array, "N"]

    @property
    def shown(self) -> Float64[Array, "N D"]:
        """Features of what was shown."""
        return self.pairs[np.arange(len(self.action)), self.action]

    @property
    def expected(self) -> Float64[Array, "N D"]:
        """Features under the target policy, Σ_b π(b|x) ψ(x, b)."""
        return np.einsum("na,nad->nd", self.target, self.pairs)

    def part(self, rows: Shaped[Array, "..."]) -> "Choices":
        """Some rows."""
        return Choices(self.pairs[rows], self.target[rows], self.action[rows])


Fit = Callable[[Rounds, Choices], Predictor]


def folds_of_users(rounds: Rounds, count: int, seed: int = 0) -> Int64[Array, "N"]:
    """A fold per user at random, of equal numbers of users."""
    return (np.random.default_rng(seed).permutation(rounds.clusters) % count)[rounds.cluster]


def folds_of_time(at: Shaped[Array, "N"], count: int) -> Int64[Array, "N"]:
    """Consecutive stretches of time with equal numbers of rows; equal times share a fold."""
    ranks = np.searchsorted(np.sort(at), at, side="left")
    return ranks * count // len(at)


def cross_fitted(rounds: Rounds, choices: Choices, fold: Int64[Array, "N"], fit: Fit) -> Rounds:
    """The rounds with q̂ of what was shown and q̂ under the target policy, each row's from the other folds' model.

    `dr`, `sndr` and `evaluate` take them from there. Source: Chernozhukov et al. 2018 (double machine learning).

    Raises:
        InputError: several positions, or fewer than two folds.
    """
    single(rounds)
    if len(np.unique(fold)) < 2:
        raise InputError("a model needs at least two folds", remedy="use more folds, or more users")
    q_hat, q_hat_target = np.zeros_like(rounds.reward), np.zeros_like(rounds.reward)
    for number in np.unique(fold):
        held = fold == number
        predict, own = fit(part(rounds, ~held), choices.part(~held)), choices.part(held)
        q_hat[held, 0] = predict(own.shown)
        flat = predict(own.pairs.reshape(-1, own.pairs.shape[-1]))
        q_hat_target[held, 0] = (own.target * flat.reshape(own.target.shape)).sum(axis=1)
    return replace(rounds, q_hat=q_hat, q_hat_target=q_hat_target)


def least_squares(ridge: float = 1e-6) -> Fit:
    """q(x, a) = ψ·θ by Σ (r - ψ·θ)² + ridge·n·|θ|²: what plain DR uses."""

    def fit(rounds: Rounds, choices: Choices) -> Predictor:
        return linear(choices.shown, rounds.reward[:, 0], ridge)

    return fit


def more_robust(ridge: float = 1e-6) -> Fit:
    """q(x, a) = ψ·θ with the θ that minimises the variance of DR itself, by users: MRDR's objective, exactly.

    φ = wr - θ·z with z = wψ(x, a) - Σ_b π(b|x) ψ(x, b), so Var(φ) is a quadratic form: θ regresses a user's Σ wr on
    its Σ z, both centred. With ψ = 1 it is beta-IPS. Source: Farajtabar et al. 2018, whose row weight
    π(1 - π₀)/π₀² is this form for a deterministic target policy only.
    """

    def fit(rounds: Rounds, choices: Choices) -> Predictor:
        weight = rounds.weights
        sums = np.column_stack((weight * choices.shown - choices.expected, weight * rounds.reward))
        by_user = np.column_stack([rounds.per_cluster(column) for column in sums.T])
        by_user = by_user - rounds.cluster_sizes[:, None] * (by_user.sum(axis=0) / len(rounds))
        return linear(by_user[:, :-1], by_user[:, -1], ridge)

    return fit


def classifier(model: Classifier) -> Fit:
    """q(x, a) = P(r = 1 | ψ), for rewards of 0 and 1, by a copy of any classifier."""

    def fit(rounds: Rounds, choices: Choices) -> Predictor:
        fitted = deepcopy(model)
        clicked = rounds.reward[:, 0] > 0
        if clicked.all() or not clicked.any():
            return lambda features: np.full(len(features), float(clicked.all()))
        fitted.fit(choices.shown, clicked)
        return lambda features: np.asarray(fitted.predict_proba(features), dtype=np.float64)[:, 1]

    return fit


def switch(
    rounds: Rounds, choices: Choices, logging: Float64[Array, "N A"], q: Float64[Array, "N A"], parameter: float
) -> Estimate:
    """SWITCH: w r where w ≤ λ, and the model's Σ_b π(b) q(x, b) over the actions whose weight is larger.

    λ = ∞ is IPS where the logger supports every action, 0 is DM. Source: Wang, Agarwal & Dudík 2017, equation 5.
    """
    single(rounds)
    every = np.divide(choices.target, logging, out=np.full_like(logging, np.inf), where=logging > 0)
    modelled = (choices.target * q * (every > parameter)).sum(axis=1)
    phi = np.where(rounds.weights <= parameter, rounds.weights, 0.0)[:, 0] * rounds.reward[:, 0] + modelled
    error = float(np.std(phi, ddof=1)) / np.sqrt(len(phi)) if len(phi) > 1 else np.nan
    return Estimate("switch", "ips", float(phi.mean()), error, phi, parameter=parameter, resampled=False)


def balanced_ips(rounds: Rounds, choices: Choices, fold: Int64[Array, "N"], model: Classifier) -> Estimate:
    """Self-normalised with ŵ = c/(1 - c), c the probability that a pair (x, a) is the target policy's, not the log's.

    The classifier sees every pair with weight π(b|x) as target, and the shown pairs as logged; folds keep it from its
    own rows. No propensity is read; the interval ignores the classifier's error. One that is calibrated and knows the
    ratio gives SNIPS.
    Source: Sondhi, Arbour & Dimmery 2020 (balanced off-policy evaluation).
    """
    single(rounds)
    weights = np.zeros_like(rounds.reward)
    for number in np.unique(fold):
        held = fold == number
        other, own = choices.part(~held), choices.part(held)
        features = np.concatenate((other.shown, other.pairs.reshape(-1, other.pairs.shape[-1])))
        from_target = np.arange(len(features)) >= len(other.action)
        fitted = deepcopy(model)
        fitted.fit(
            features, from_target, sample_weight=np.concatenate((np.ones(len(other.action)), other.target.ravel()))
        )
        chance = np.asarray(fitted.predict_proba(own.shown), dtype=np.float64)[:, 1]
        weights[held, 0] = np.minimum(chance / np.maximum(1 - chance, 1 / LARGEST_ODDS), LARGEST_ODDS)
    phi = contributions("snips", rounds, weights)
    spread = float(np.std(phi)) / np.sqrt(len(rounds))
    return Estimate("balanced_ips", "snips", float(phi.mean()), spread, phi, weights=weights)


def classified(
    model: Classifier, features: Float64[Array, "M D"], label: Int64[Array, "M"]
) -> tuple[Callable[[Float64[Array, "H D"]], Float64[Array, "H C"]], Int64[Array, "C"]]:
    """A fitted copy's probabilities, and the labels of their columns."""
    classes = np.unique(label)
    if len(classes) == 1:
        return lambda rows: np.ones((len(rows), 1)), classes
    fitted = deepcopy(model)
    fitted.fit(features, label)
    return lambda rows: np.asarray(fitted.predict_proba(rows), dtype=np.float64), classes


def linear(features: Float64[Array, "M D"], outcome: Float64[Array, "M"], ridge: float) -> Predictor:
    """Ridge regression without an intercept; ψ may hold a constant."""
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += ridge * len(features)
    theta = np.linalg.solve(gram, features.T @ outcome)
    return lambda rows: rows @ theta


def part(rounds: Rounds, rows: Shaped[Array, "..."]) -> Rounds:
    """Some rows, their users numbered anew."""
    columns = (
        "reward",
        "propensity",
        "target_probability",
        "mask",
        "q_hat",
        "q_hat_target",
        "actions",
        "sample_weight",
    )
    kept = {name: values[rows] for name in columns if (values := getattr(rounds, name)) is not None}
    return replace(rounds, **kept, cluster=np.unique(rounds.cluster[rows], return_inverse=True)[1])


def single(rounds: Rounds) -> None:
    """Refuse slates, and rows that were sampled.

    Raises:
        InputError: several positions, or sample weights.
    """
    rounds.refuse_sampled("a model of single actions")
    if rounds.positions > 1:
        raise InputError(f"this model is for single actions, the log has {rounds.positions} positions")
