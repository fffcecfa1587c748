"""Diagnostics of the weights: effective sample size, tails, support. None of them suffices alone."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64
from scipy.special import stdtrit, xlogy  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.ope.estimators import dr, ips
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds, over_positions

Array = np.ndarray

QUANTILES = (0.5, 0.9, 0.99, 0.999)
BUCKETS_PER_OCTAVE = 4
HEAVIEST = 10  # rows that an estimate should survive without
TAIL_SHARE = 0.2  # of the weights, at most, are fitted; Vehtari et al. 2024
TAIL_ROOTS = 3  # and at most this many times √n
SMALLEST_TAIL = 5
PRIOR_WEIGHT, PRIOR_SHAPE = 10, 0.5  # weak prior on k-hat; Vehtari et al. 2024, appendix G


@dataclass(frozen=True)
class Diagnostics:
    """Weights seen as one pool of rows (request, position); not a number where the log cannot tell.

    effective_sample_size (Σw)²/Σw² and its share of the rows, pooled, and position by position; max_row_share and
    max_cluster_share of Σw; mean_weight with its clustered z against 1; missing_mass max(0, 1 - mean w) and
    missing_mass_low, 1 - its upper confidence limit: target probability where the logger never went; k_hat of the
    Pareto tail; overlap mean min(w, 1), an estimate of 1 - total variation; second_moment mean w² (Rényi-2) and
    divergence mean w ln w, of the target policy from the logging policy (Kullback-Leibler, nats); variance_ratio of DR
    to IPS; model_gain, the share of the rewards' squared deviation from their position's mean that q̂ explains;
    inverse_propensity, mean 1/p over the mean number of actions, with its clustered z against 1: the mean weight of a
    policy that shows each of them equally often; without_heaviest, SNIPS without the ten heaviest rows.
    """

    requests: int
    rows: int
    clusters: int
    positions: int
    effective_sample_size: float
    effective_share: float
    effective_by_position: tuple[float, ...]
    max_weight: float
    max_row_share: float
    max_cluster_share: float
    mean_weight: float
    mean_weight_z: float
    missing_mass: float
    missing_mass_low: float
    k_hat: float
    overlap: float
    second_moment: float
    zero_share: float
    weight_quantiles: tuple[float, ...]
    variance_ratio: float
    propensity_estimated: bool
    divergence: float = np.nan
    model_gain: float = np.nan
    inverse_propensity: float = np.nan
    inverse_propensity_z: float = np.nan
    without_heaviest: float = np.nan


def diagnose(rounds: Rounds, level: float = 0.95) -> Diagnostics:
    """All diagnostics of one log under one target policy; `level` is that of the missing mass."""
    weights = rounds.weights
    rows = weights.reshape(-1) if rounds.full else weights[rounds.mask]
    total = float(rows.sum())
    mean = total / rows.size
    error = cluster_error(over_positions(weights - mean * rounds.counts), rounds) * len(rounds) / rows.size
    times = float(stdtrit(max(rounds.clusters - 1, 1), 0.5 + level / 2))
    by_user = rounds.per_cluster(over_positions(weights))
    calibration, calibration_z = inverse_propensity(rounds)
    quantiles = tuple(float(q) for q in np.quantile(rows, QUANTILES))
    return Diagnostics(
        requests=len(rounds),
        rows=rows.size,
        clusters=rounds.clusters,
        positions=rounds.positions,
        effective_sample_size=effective(rows),
        effective_share=effective(rows) / rows.size,
        effective_by_position=tuple(effective(weights[:, k]) for k in range(rounds.positions)),
        max_weight=float(rows.max()),
        max_row_share=float(rows.max()) / total if total > 0 else np.nan,
        max_cluster_share=float(by_user.max()) / total if total > 0 else np.nan,
        mean_weight=mean,
        mean_weight_z=(mean - 1) / error if error > 0 else (0.0 if mean == 1 else np.nan),
        missing_mass=max(0.0, 1 - mean),
        missing_mass_low=max(0.0, 1 - mean - times * error),
        k_hat=pareto_shape(rows),
        overlap=float(rounds.scaled(np.minimum(rounds.ratios, 1.0)).sum()) / rows.size,
        second_moment=float((weights * rounds.ratios).sum()) / rows.size,
        zero_share=float(np.count_nonzero(rows == 0)) / rows.size,
        weight_quantiles=quantiles,
        variance_ratio=variance_ratio(rounds),
        propensity_estimated=rounds.propensity_estimated,
        divergence=float(xlogy(weights, rounds.ratios).sum()) / rows.size,
        model_gain=model_gain(rounds),
        inverse_propensity=calibration,
        inverse_propensity_z=calibration_z,
        without_heaviest=without_heaviest(rounds, quantiles[-1]),
    )


def effective(weights: Float64[Array, "R"]) -> float:
    """How many equally weighted rows would be as noisy."""
    return kish(float(weights.sum()), float(weights @ weights))


def kish(total: float, squared: float) -> float:
    """(Σ w)² / Σ w² from both sums; 0 without weight. Source: Kish 1965."""
    return total**2 / squared if squared > 0 else 0.0


def variance_ratio(rounds: Rounds) -> float:
    """var(DR) / var(IPS), clustered: above 1 the reward model adds noise."""
    if rounds.q_hat is None:
        return np.nan
    plain = cluster_error(ips(rounds).contributions, rounds)
    return (cluster_error(dr(rounds).contributions, rounds) / plain) ** 2 if plain > 0 else np.nan


def model_gain(rounds: Rounds) -> float:
    """1 - Σ(r - q̂)² / Σ(r - mean of its position)²: above 0 the predictions beat a constant for each position."""
    if rounds.q_hat is None:
        return np.nan
    shown = rounds.counts.sum(axis=0)
    constant = (rounds.counts * rounds.rewards).sum(axis=0) / np.maximum(shown, 1)
    around = float((rounds.counts * rounds.rewards**2).sum() - (shown * constant**2).sum())
    return 1 - float((rounds.counts * rounds.residuals**2).sum()) / around if around > 0 else np.nan


def inverse_propensity(rounds: Rounds) -> tuple[float, float]:
    """mean 1/p over the mean number of actions, and the clustered z of their difference; E 1/p is that number wherever
    the logger gives each of them a chance. Not a number where the actions are not counted.
    """
    if rounds.actions is None:
        return np.nan, np.nan
    inverse = rounds.counts / np.where(rounds.mask, rounds.propensity, 1.0)
    actions = rounds.counts * np.where(rounds.mask, rounds.actions, 1.0)
    expected = float(actions.sum())
    ratio = float(inverse.sum()) / expected
    error = cluster_error(over_positions(inverse - ratio * actions), rounds) * len(rounds) / expected
    return ratio, (ratio - 1) / error if error > 0 else (0.0 if ratio == 1 else np.nan)


def without_heaviest(rounds: Rounds, heavy: float, count: int = HEAVIEST) -> float:
    """SNIPS without the rows of largest weight; not a number where a position keeps none.

    `heavy` is a weight that some rows reach: where they are enough, the heaviest are sought among them.
    """
    weights = rounds.weights
    if weights.size <= count:
        return np.nan
    among = np.flatnonzero(weights >= heavy)
    if among.size < count:
        among = np.arange(weights.size)
    largest = among[np.argpartition(weights.reshape(-1)[among], -count)[-count:]]
    heaviest = np.unravel_index(largest, weights.shape)
    spared = weights[heaviest]
    mass, reward = weights.sum(axis=0), (weights * rounds.rewards).sum(axis=0)
    np.subtract.at(mass, heaviest[1], spared)
    np.subtract.at(reward, heaviest[1], spared * rounds.rewards[heaviest])
    kept = rounds.mask.sum(axis=0) > np.bincount(heaviest[1], weights=spared > 0, minlength=rounds.positions)
    if not (kept & (mass > 0))[rounds.shares > 0].all():
        return np.nan
    return float((rounds.shares * reward / np.where(mass > 0, mass, 1.0)).sum())


def pareto_shape(weights: Float64[Array, "R"]) -> float:
    """k̂ of a generalised Pareto fitted to the largest min(0.2 n, 3√n) weights; not a number for fewer than 5.

    Source: Zhang & Stephens 2009 (profile posterior mean); Vehtari et al. 2024 (tail length, weak prior). scipy's
    maximum likelihood is another estimator: the 0.7 limit belongs to this one.
    """
    size = tail_size(weights.size)
    if size < SMALLEST_TAIL or weights.size <= size:
        return np.nan
    return tail_shape(np.sort(np.partition(weights, weights.size - size - 1)[weights.size - size - 1 :]))


def tail_size(rows: int) -> int:
    """How many of the largest weights are fitted."""
    return int(np.ceil(min(TAIL_SHARE * rows, TAIL_ROOTS * np.sqrt(rows))))


def tail_shape(ordered: Float64[Array, "H"]) -> float:
    """k̂ of the weights above the first, in rising order."""
    excess = ordered[1:] - ordered[0]
    excess = excess[excess > 0]
    count = excess.size
    if count < SMALLEST_TAIL:
        return np.nan
    trials = 30 + int(np.sqrt(count))  # Zhang & Stephens 2009, section 3
    quartile = excess[int(count / 4 + 0.5) - 1]
    spread = 1 - np.sqrt(trials / (np.arange(1, trials + 1) - 0.5))
    slopes = spread / (3 * quartile) + 1 / excess[-1]  # 3 from their prior
    shapes = np.log1p(-slopes[:, None] * excess).mean(axis=1)
    likelihood = count * (np.log(-slopes / shapes) - shapes - 1)
    density = np.exp(likelihood - likelihood.max())
    slope = float(slopes @ density / density.sum())
    shape = float(np.log1p(-slope * excess).mean())
    return (count * shape + PRIOR_WEIGHT * PRIOR_SHAPE) / (count + PRIOR_WEIGHT)


def weight_histogram(rounds: Rounds) -> pl.DataFrame:
    """Rows, weight and weighted reward in quarter-octave buckets low to high; zero weights are a bucket."""
    weights, rewards = rounds.weights[rounds.mask], rounds.rewards[rounds.mask]
    with np.errstate(divide="ignore"):
        bucket = np.floor(BUCKETS_PER_OCTAVE * np.log2(weights))
    found, place = np.unique(bucket, return_inverse=True)
    rows, mass, reward = (
        np.bincount(place, weights=values, minlength=len(found))
        for values in (np.ones_like(weights), weights, weights * rewards)
    )
    return pl.DataFrame(
        {
            "low": np.exp2(found / BUCKETS_PER_OCTAVE),
            "high": np.where(np.isinf(found), 0.0, np.exp2((found + 1) / BUCKETS_PER_OCTAVE)),
            "rows": rows.astype(np.int64),
            "weight": mass,
            "weighted_reward": reward,
        }
    )
