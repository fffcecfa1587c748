"""The whole distribution of a request's reward under the target policy: its spread, its quantiles, its worst part.

Single rewards per request; for slates, the sum over positions with whole-slate weights. Binary rewards: all of it
follows from the mean. Source: Huang et al. 2021, Chandak et al. 2021 (distributional off-policy evaluation).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from rlrec.errors import InputError
from rlrec.ope.intervals import REPLICATES, Interval, from_replicates
from rlrec.ope.models import single
from rlrec.ope.rounds import Rounds

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Distribution:
    """P(reward ≤ point) at every point, rising to 1."""

    points: Float64[Array, "P"]
    cumulative: Float64[Array, "P"]

    @property
    def masses(self) -> Float64[Array, "P"]:
        """P(reward = point)."""
        return np.diff(self.cumulative, prepend=0.0)

    def mean(self) -> float:
        """E r."""
        return float(self.points @ self.masses)

    def variance(self) -> float:
        """E (r - E r)²."""
        return float((self.points - self.mean()) ** 2 @ self.masses)

    def quantile(self, share: float) -> float:
        """VaR: the least point that at least `share` of the rewards do not exceed."""
        place = int(np.searchsorted(self.cumulative, share * (1 - 1e-12)))
        return float(self.points[min(place, len(self.points) - 1)])

    def worst(self, share: float) -> float:
        """CVaR: the mean of the worst `share` of rewards; the mean itself at 1."""
        below = np.minimum(self.cumulative, share)
        return float(self.points @ np.diff(below, prepend=0.0)) / share

    def spread(self, share: float = 0.5) -> float:
        """Length of the central `share`: the interquartile range at one half."""
        return self.quantile(0.5 + share / 2) - self.quantile(0.5 - share / 2)


def distribution(
    rounds: Rounds,
    predicted: Callable[[Float64[Array, "P"]], tuple[Float64[Array, "N P"], Float64[Array, "N P"]]] | None = None,
) -> Distribution:
    """F(t) = Σ w 1{r ≤ t} / Σ w at the rewards seen; doubly robust where `predicted` knows conditional distributions.

    `predicted(points)` gives F_q(t|x, a) of what was shown and its mean under the target policy; the estimate is then
    mean F_π(t) + Σ w(1{r ≤ t} - F_q) / Σ w, kept in [0, 1] and put in order (monotone rearrangement, Chernozhukov,
    Fernández-Val & Galichon 2009, never takes it farther from the truth).

    Raises:
        InputError: several positions, or no weight.
    """
    single(rounds)
    reward, weight = rounds.reward[:, 0], rounds.weights[:, 0]
    total = float(weight.sum())
    if total <= 0:
        raise InputError(
            "no row has weight", column="target_probability", remedy="the target shows nothing of this log"
        )
    points, code = np.unique(reward, return_inverse=True)
    cumulative = np.bincount(code, weights=weight).cumsum() / total
    if predicted is not None:
        shown, target = predicted(points)
        cumulative = np.sort(np.clip(cumulative + target.mean(axis=0) - weight @ shown / total, 0.0, 1.0))
    cumulative[-1] = 1.0
    return Distribution(points, cumulative)


def risk_interval(
    rounds: Rounds,
    measure: Callable[[Distribution], float],
    level: float,
    *,
    seed: int,
    replicates: int = REPLICATES,
) -> tuple[float, Interval]:
    """A measure of the self-normalised distribution, such as `lambda d: d.worst(0.1)`, with a bootstrap by user."""
    found = distribution(rounds)
    _, code = np.unique(rounds.reward[:, 0], return_inverse=True)
    weight, generator = rounds.weights[:, 0], np.random.default_rng(seed)
    values = np.full(replicates, np.nan)
    for number in range(replicates):
        times = np.bincount(generator.integers(rounds.clusters, size=rounds.clusters), minlength=rounds.clusters)
        drawn = np.bincount(code, weights=weight * times[rounds.cluster]).cumsum()
        if drawn[-1] > 0:
            values[number] = measure(Distribution(found.points, drawn / drawn[-1]))
    value = measure(found)
    return value, from_replicates(values, value if rounds.clusters > 1 else np.nan, level)
