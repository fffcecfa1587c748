"""How far a transformed weight can bend an estimate: a bound on its bias that the log itself certifies."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from rlrec.ope.intervals import cluster_margin
from rlrec.ope.rounds import Rounds, over_positions
from rlrec.ope.statistics import Base, needs_model
from rlrec.ope.transforms import Family, greatest, greatest_excess

Array = np.ndarray

PILOT_SHARE = 0.05  # of the users, on which the cap of an unbounded weight is chosen; they leave the bound
PILOT_CAPS = 24
PILOT_SEED = 20_240_501  # the split is part of the bound's definition, not of a run


def outcome_range(base: Base, rounds: Rounds) -> float:
    """R, what a unit of misplaced weight can cost at one position; not a number without a declared reward range, or
    where rows were sampled.

    IPS max(|lo|, |hi|) · SNIPS hi - lo · DR max(hi, q̂) - min(lo, q̂) · SNDR both lengths added, since r - q̂ moves by
    either. Predictions for items never shown are taken to lie in the range of the declared rewards and those seen.
    """
    if rounds.sample_weight is not None:
        return np.nan
    seen = rounds.predicted[rounds.mask]
    return worst_outcome(base, rounds.reward_range, (float(seen.min()), float(seen.max())))


def worst_outcome(base: Base, reward_range: tuple[float, float] | None, predicted: tuple[float, float]) -> float:
    """The same from the ranges alone; `predicted` is that of the predictions seen."""
    if reward_range is None:
        return np.nan
    low, high = reward_range
    if not needs_model(base):
        return max(abs(low), abs(high)) if base == "ips" else high - low
    reach = max(high, predicted[1]) - min(low, predicted[0])
    return reach if base == "dr" else reach + (high - low)


@dataclass(frozen=True)
class Pilot:
    """A random part of the users, set aside to choose caps."""

    user: Bool[Array, "C"]
    request: Bool[Array, "N"]

    @staticmethod
    def of(rounds: Rounds) -> "Pilot":
        """The same users for the same number of users."""
        chosen = np.random.default_rng(PILOT_SEED).random(rounds.clusters) < PILOT_SHARE
        return Pilot(chosen, chosen[rounds.cluster])


def misplaced_mass(
    rounds: Rounds,
    weights: Float64[Array, "N K"],
    family: Family,
    parameter: float,
    failure: float,
    pilot: Pilot,
) -> tuple[float, Float64[Array, "C"]]:
    """Upper confidence bound of M = Σ_k E[1 - ŵ_k + 2(ŵ_k - w_k)₊]; |bias| ≤ R·M, under missing support too.

    Beside it what each user adds to the mean that the margin is added to; who chose a cap adds as much as others.

    Proof, at one position: V - E[ŵr] = Σ_a (π - π₀ŵ) y, so |bias| ≤ R Σ_a |π - π₀ŵ| = R (1 - E ŵ + 2 Σ_a (π₀ŵ - π)₊).
    A self-normalised form tends to the mean of y under π₀ŵ/E ŵ, whose total variation distance to π is at most M,
    so the same M serves with the length of the outcome's range. Positions add up. Users, not rows, are the
    independent observations of the empirical Bernstein margin. A weight that nothing bounds is capped, the cap chosen
    on other users: E min(ŵ, c) ≤ E ŵ keeps the bound valid.
    """
    ceiling = greatest(family, parameter, np.inf if rounds.max_weight is None else rounds.max_weight)
    excess = greatest_excess(family, parameter)
    fixed = rounds.cluster_positions
    if excess > 0:
        fixed = fixed + 2 * rounds.per_cluster(over_positions(np.maximum(weights - rounds.weights, 0.0)))
    loose = 2 * excess + (0.0 if rounds.full else 1.0)  # a request of fewer positions varies by one more each
    trivial = rounds.positions * (1 + 2 * excess)
    if np.isfinite(ceiling):
        sums = fixed - rounds.per_cluster(over_positions(weights))
        spread = rounds.positions * (ceiling + loose)
        return above(sums, float(len(rounds)), rounds.most_requests, spread, failure, trivial), sums
    others = ~pilot.user
    if not pilot.user.any() or np.count_nonzero(others) < 2:
        return trivial, trivial * rounds.cluster_sizes
    cap = chosen_cap(rounds, weights, loose, failure, pilot)
    sums = fixed - rounds.per_cluster(over_positions(np.minimum(weights, cap)))
    sizes, spread = rounds.cluster_sizes[others], rounds.positions * (cap + loose)
    bound = above(sums[others], float(sizes.sum()), float(sizes.max()), spread, failure, trivial)
    return bound, np.where(others, sums, rounds.cluster_sizes * sums[others].sum() / sizes.sum())


def above(
    sums: Float64[Array, "C"], total: float, largest: float, spread: float, failure: float, trivial: float
) -> float:
    """Mean plus margin, kept between 0 and what holds without looking."""
    whole = float(sums.sum())
    margin = cluster_margin(sums, total, largest, spread, failure, whole)
    return float(np.clip(whole / total + margin, 0.0, trivial))


def chosen_cap(rounds: Rounds, weights: Float64[Array, "N K"], loose: float, failure: float, pilot: Pilot) -> float:
    """The cap that promises the highest lower bound of E min(ŵ, c), judged on the pilot alone."""
    tried = weights[pilot.request]
    cluster = (pilot.user.cumsum() - 1)[rounds.cluster[pilot.request]]
    sizes = rounds.cluster_sizes[pilot.user]
    others = rounds.clusters - len(sizes)
    scale = len(sizes) / float(sizes.sum())
    best, promise = 1.0, -np.inf
    for cap in np.geomspace(1.0, max(2.0, float(tried.max())), PILOT_CAPS):
        kept = over_positions(np.minimum(tried, cap))
        sums = scale * np.bincount(cluster, weights=kept, minlength=len(sizes))
        log = np.log(2 / failure)
        spread = rounds.positions * (cap + loose) * scale * float(sizes.max())
        lower = sums.mean() - np.sqrt(2 * sums.var() * log / others) - 7 * spread * log / (3 * others)
        if lower > promise:
            best, promise = float(cap), float(lower)
    return best
