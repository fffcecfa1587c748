"""Stats: sums over requests that every point value and row-level error is a function of; `+` merges shards.

Per request and position five features are summed: count (1 if shown), w, w·r, q̂ under the target policy, w·q̂. The
value of every estimator is a smooth function of their means, so its error is the gradient's: se² = ∇ᵀ Cov ∇ / n.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, assert_never, get_args

import numpy as np
from jaxtyping import Float64

from rlrec.ope.rounds import Rounds

Array = np.ndarray
Base = Literal["ips", "snips", "dm", "dr", "sndr"]
BASES: tuple[Base, ...] = get_args(Base)
FEATURES = ("count", "weight", "weighted_reward", "direct", "weighted_prediction")
CHUNK = 65_536  # requests whose features are held at once


def needs_model(base: Base) -> bool:
    """Whether the estimator reads reward predictions."""
    return base in ("dm", "dr", "sndr")


def is_ratio(base: Base) -> bool:
    """Whether the estimator divides by the weights it met."""
    return base in ("snips", "sndr")


def features(rounds: Rounds, weights: Float64[Array, "N K"], rows: slice) -> Float64[Array, "n 5 K"]:
    """The five features of some requests, under any (transformed) weights."""
    w = weights[rows]
    return np.stack(
        (rounds.counts[rows], w, w * rounds.rewards[rows], rounds.direct[rows], w * rounds.predicted[rows]), axis=1
    )


def value_of(base: Base, means: Float64[Array, "... 5 K"]) -> Float64[Array, "..."]:
    """The estimate that belongs to feature means; not a number where a self-normalised form met no weight.

    Self-normalised forms normalise each position: Σ_k share_k · mean(w·r)_k / mean(w)_k.
    """
    count, weight, reward, direct, prediction = np.moveaxis(means, -2, 0)
    match base:
        case "ips":
            parts = reward
        case "dm":
            parts = direct
        case "dr":
            parts = direct + reward - prediction
        case "snips":
            parts = ratio(count * reward, weight, count)
        case "sndr":
            parts = direct + ratio(count * (reward - prediction), weight, count)
        case _:
            assert_never(base)
    return np.asarray(parts.sum(axis=-1))


def ratio(top: Array, weight: Array, count: Array) -> Array:
    """top / weight; 0 at a position that no request has, not a number at one whose weights are all 0."""
    missing = np.where(count > 0, np.nan, 0.0)
    return np.divide(top, weight, out=missing, where=weight > 0)


def gradient_of(base: Base, means: Float64[Array, "5 K"]) -> Float64[Array, "5 K"]:
    """∂ value / ∂ feature means."""
    count, weight, reward, _, prediction = means
    slope = np.zeros_like(means)
    match base:
        case "ips":
            slope[2] = 1.0
        case "dm":
            slope[3] = 1.0
        case "dr":
            slope[2:] = np.array([1.0, 1.0, -1.0])[:, None]
        case "snips" | "sndr":
            top = reward if base == "snips" else reward - prediction
            slope[0] = ratio(top, weight, count)
            slope[1] = -ratio(count * slope[0], weight, count)
            slope[2] = ratio(count, weight, count)
            if base == "sndr":
                slope[3], slope[4] = 1.0, -slope[2]
        case _:
            assert_never(base)
    return slope


@dataclass(frozen=True, eq=False)
class Stats:
    """How many requests, the sums of their features, the sums of all products of two, and the largest weight."""

    n: int
    sums: Float64[Array, "5 K"]
    products: Float64[Array, "5*K 5*K"]
    max_weight: float
    has_model: bool

    @staticmethod
    def empty(positions: int, *, has_model: bool = True) -> "Stats":
        """What adds nothing."""
        width = len(FEATURES) * positions
        return Stats(0, np.zeros((len(FEATURES), positions)), np.zeros((width, width)), 0.0, has_model)

    @staticmethod
    def of(rounds: Rounds, weights: Float64[Array, "N K"] | None = None) -> "Stats":
        """The sums of all rounds; `weights` stand in for w when a transform changed them."""
        used = rounds.weights if weights is None else weights
        total = Stats.empty(rounds.positions, has_model=rounds.q_hat is not None)
        sums, products = total.sums.copy(), total.products.copy()
        for start in range(0, len(rounds), CHUNK):
            block = features(rounds, used, slice(start, start + CHUNK))
            flat = block.reshape(len(block), -1)
            sums += block.sum(axis=0)
            products += flat.T @ flat
        return Stats(len(rounds), sums, products, float(used.max()), total.has_model)

    def __add__(self, other: "Stats") -> "Stats":
        return Stats(
            self.n + other.n,
            self.sums + other.sums,
            self.products + other.products,
            max(self.max_weight, other.max_weight),
            self.has_model and other.has_model,
        )

    @cached_property
    def means(self) -> Float64[Array, "5 K"]:
        """Feature means per request."""
        return self.sums / self.n

    def value(self, base: Base) -> float:
        """The point estimate."""
        return float(value_of(base, self.means))

    def standard_error(self, base: Base) -> float:
        """Row-level error: n - 1 for means; the delta formula, with n, for ratios. Not a number for one request."""
        if self.n < 2:
            return np.nan
        slope = gradient_of(base, self.means).reshape(-1)
        centre = self.means.reshape(-1)
        variance = slope @ (self.products / self.n - np.outer(centre, centre)) @ slope
        return float(np.sqrt(max(variance, 0.0) / (self.n if is_ratio(base) else self.n - 1)))

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w² over rows (request, position); 0 when all weights are 0."""
        positions = self.sums.shape[1]
        squared = np.diag(self.products)[positions : 2 * positions].sum()
        return float(self.sums[1].sum() ** 2 / squared) if squared > 0 else 0.0


def cluster_sums(rounds: Rounds, weights: Float64[Array, "N K"] | None = None) -> Float64[Array, "C 5 K"]:
    """The sums of each user's requests: what a bootstrap resamples."""
    used = rounds.weights if weights is None else weights
    total = np.zeros((rounds.clusters, len(FEATURES), rounds.positions))
    columns = (rounds.counts, used, used * rounds.rewards, rounds.direct, used * rounds.predicted)
    for feature, column in enumerate(columns):
        for position in range(rounds.positions):
            total[:, feature, position] = rounds.per_cluster(column[:, position])
    return total
