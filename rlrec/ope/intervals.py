"""Intervals, all clustered by user: normal and Student, delta, confidence sequence, bootstrap, Hoeffding, Bernstein."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import ndtr, ndtri, stdtrit  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.errors import InputError
from rlrec.ope.estimators import Estimate, bent
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import is_ratio, unit_sums, value_of

Array = np.ndarray
Validity = Literal["finite", "asymptotic", "anytime"]
Resampling = Literal["percentile", "basic", "bca", "blocks"]

REPLICATES = 1_000
MAX_SHARDS = 1_000  # resampled units: beyond, users share shards at random; the error then carries about 2 % noise


@dataclass(frozen=True)
class Interval:
    """low to high at `level`; not a number where no interval exists (one user, no weight)."""

    method: str
    level: float
    low: float
    high: float
    validity: Validity
    standard_error: float = np.nan


def cluster_error(contributions: Float64[Array, "N"], rounds: Rounds) -> float:
    """se² = C/(C-1) Σ_c (Σ_{n in c} φ_n - V)² / N². Source: Liang & Zeger 1986; C/(C-1) after Cameron & Miller 2015."""
    users = rounds.clusters
    if users < 2:
        return np.nan
    influence = rounds.per_cluster(contributions - contributions.mean())
    return float(np.sqrt(users / (users - 1) * (influence @ influence)) / len(rounds))


def clustered(
    found: Estimate, rounds: Rounds, level: float, quantile: Literal["student", "normal"] = "student"
) -> Interval:
    """V ± t·se with se from the users' sums of influence: the delta method where the estimator is a ratio."""
    error = cluster_error(found.contributions, rounds)
    upper = 0.5 + level / 2
    times = float(stdtrit(max(rounds.clusters - 1, 1), upper) if quantile == "student" else ndtri(upper))
    method = "delta" if is_ratio(found.base) else quantile
    return Interval(method, level, found.value - times * error, found.value + times * error, "asymptotic", error)


def confidence_sequence(found: Estimate, rounds: Rounds, level: float, planned: int) -> Interval:
    """V ± se·√(2(Cρ²+1)/(Cρ²)·ln(√(Cρ²+1)/α)): holds at every look at a growing log at once, for many users C.

    ρ makes it narrowest near `planned` users and must not change between looks; users must arrive independently.
    Source: Waudby-Smith et al. 2021 (asymptotic confidence sequences).
    """
    if planned < 1:
        raise InputError(f"planned is {planned}, expected at least 1 user", remedy="name the number of users expected")
    error, log = cluster_error(found.contributions, rounds), -2 * np.log(1 - level)
    mixed = rounds.clusters * (log + np.log1p(log)) / planned
    times = float(np.sqrt(2 * (mixed + 1) / mixed * (0.5 * np.log1p(mixed) - np.log(1 - level))))
    low, high = found.value - times * error, found.value + times * error
    return Interval("confidence_sequence", level, low, high, "anytime", error)


def shards_of(clusters: int, generator: np.random.Generator) -> Int64[Array, "C"]:
    """Which resampled unit a user belongs to: its own, or one of `MAX_SHARDS` of equal numbers of users."""
    if clusters <= MAX_SHARDS:
        return np.arange(clusters)
    return generator.permutation(clusters) % MAX_SHARDS


def bootstrap(
    found: Sequence[Estimate],
    rounds: Rounds,
    level: float,
    *,
    seed: int,
    replicates: int = REPLICATES,
    kind: Resampling = "percentile",
) -> list[Interval]:
    """Resample users and recompute every statistic whole, denominators included; one interval per estimate.

    Replicates in which a ratio meets no weight are left out. `blocks` takes the clusters for days in their order and
    draws runs of ∛days days, the first following the last. Source: Field & Welsh 2007 (cluster bootstrap); Efron 1987
    (BCa, acceleration from leave-one-unit-out); Politis & Romano 1992 (circular blocks).
    """
    nowhere = Interval(f"bootstrap_{kind}", level, np.nan, np.nan, "asymptotic")
    if rounds.clusters < 2:
        return [nowhere] * len(found)
    generator = np.random.default_rng(seed)
    in_order = kind == "blocks"
    shard = np.arange(rounds.clusters) if in_order else shards_of(rounds.clusters, generator)
    units = int(shard.max()) + 1
    times = (block_resamples if in_order else resamples)(units, replicates, generator)
    requests = np.bincount(shard, weights=rounds.cluster_sizes, minlength=units)
    made: dict[tuple[str | None, float | None, int], tuple[Array, Array, Array]] = {}
    intervals: list[Interval] = []
    for one in found:
        key = (one.family, one.parameter, id(one.weights))
        if key not in made:
            sums = unit_sums(rounds, shard, weights_of(one, rounds))
            flat = sums.reshape(units, -1)
            resampled = (times @ flat / (times @ requests)[:, None]).reshape(replicates, *sums.shape[1:])
            left_out = (flat.sum(axis=0) - flat) / (requests.sum() - requests)[:, None]
            made[key] = sums, resampled, left_out.reshape(sums.shape)
        _, resampled, left_out = made[key]
        skew = value_of(one.base, left_out) if kind == "bca" else None
        intervals.append(from_replicates(value_of(one.base, resampled), one.value, level, kind, skew))
    return intervals


def resamples(units: int, replicates: int, generator: np.random.Generator) -> Float64[Array, "R S"]:
    """How often each unit is drawn in each replicate."""
    return tallied(generator.integers(0, units, size=(replicates, units)))


def tallied(drawn: Int64[Array, "R S"]) -> Float64[Array, "R S"]:
    """How often each of S units is among the S drawn, a row per replicate."""
    replicates, units = map(int, drawn.shape)
    place = np.ravel(drawn + units * np.arange(replicates)[:, None])
    return np.bincount(place, minlength=replicates * units).reshape(replicates, units).astype(np.float64)


def block_resamples(units: int, replicates: int, generator: np.random.Generator) -> Float64[Array, "R S"]:
    """How often each unit is drawn, in runs of ∛units that may go round the end; as many units as there are."""
    length = round(math.cbrt(units))
    starts = generator.integers(0, units, size=(replicates, -(-units // length)))
    runs = np.reshape(np.add.outer(starts, np.arange(length)), (replicates, -1))
    return tallied(runs[:, :units] % units)


def from_replicates(
    values: Float64[Array, "R"],
    value: float,
    level: float,
    kind: Resampling = "percentile",
    left_out: Float64[Array, "S"] | None = None,
) -> Interval:
    """Percentiles of the replicates that exist; those of BCa with the values that leave one unit out; basic ones are
    mirrored at the value, 2V - percentile.
    """
    method = f"bootstrap_{kind}"
    values = values[np.isfinite(values)]
    if values.size < 2 or not np.isfinite(value):
        return Interval(method, level, np.nan, np.nan, "asymptotic")
    tails = np.array([0.5 - level / 2, 0.5 + level / 2])
    if left_out is not None:
        tails = corrected(tails, values, value, left_out)
    low, high = np.quantile(values, tails)
    if kind == "basic":
        low, high = 2 * value - high, 2 * value - low
    return Interval(method, level, float(low), float(high), "asymptotic", float(values.std(ddof=1)))


def weights_of(found: Estimate, rounds: Rounds) -> Float64[Array, "N K"]:
    """The weights an estimate was computed with."""
    if found.weights is not None:
        return found.weights
    if found.family is None or found.parameter is None:
        return rounds.weights
    return bent(rounds, found.family, found.parameter)


def corrected(
    tails: Float64[Array, "2"], values: Float64[Array, "R"], value: float, left_out: Float64[Array, "S"]
) -> Float64[Array, "2"]:
    """BCa levels Φ(z₀ + (z₀ + z)/(1 - a(z₀ + z))); half of the ties counts as below."""
    below = (np.count_nonzero(values < value) + np.count_nonzero(values == value) / 2) / values.size
    edge = 1.0 / (2 * values.size)
    shift = ndtri(np.clip(below, edge, 1 - edge))
    pull = np.nanmean(left_out) - left_out[np.isfinite(left_out)]
    spread = (pull**2).sum()
    acceleration = (pull**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    moved = shift + ndtri(tails)
    return ndtr(shift + moved / (1 - acceleration * moved))


def bernstein_margin(variance: float, count: int, spread: float, failure: float) -> float:
    """√(2 s² ln(2/δ)/n) + 7 R ln(2/δ)/(3(n-1)), one side; infinite for one observation.

    Source: Maurer & Pontil 2009, theorem 4; for independent, not identically distributed observations theorem 11.
    """
    if count < 2 or not np.isfinite(spread):
        return np.inf
    log = np.log(2 / failure)
    return float(np.sqrt(2 * variance * log / count) + 7 * spread * log / (3 * (count - 1)))


def contribution_spread(found: Estimate, rounds: Rounds) -> float:
    """Length of the interval that one request's contribution cannot leave, from declared ranges alone.

    IPS: K·w_max·(max(hi, 0) - min(lo, 0)). A weight may be 0, so 0 belongs to the range whatever lo is.
    DR: K·(hi - lo)(1 + 2·w_max), for predictions within [lo, hi].

    Raises:
        InputError: the estimator is a ratio or transformed, a range was not declared or is left by predictions, or rows
            were sampled.
    """
    rounds.refuse_sampled("a finite-sample interval")
    if found.family is not None or found.base not in ("ips", "dr"):
        raise InputError(f"no finite-sample interval for {found.estimator}", remedy="use ips or dr")
    if rounds.reward_range is None or rounds.max_weight is None:
        raise InputError(
            "finite-sample intervals need a declared reward range and a declared largest weight",
            remedy="declare reward_range and max_weight; the sample's own extremes void the guarantee",
        )
    low, high = rounds.reward_range
    if found.base == "ips":
        return rounds.positions * rounds.max_weight * (max(high, 0.0) - min(low, 0.0))
    for name, values in (("q_hat", rounds.predicted), ("q_hat_target", rounds.direct)):
        outside = int(np.count_nonzero(((values < low) | (values > high)) & rounds.mask))
        if outside:
            raise InputError(f"{name} leaves the declared reward range", column=name, rows=outside, remedy="clip it")
    return rounds.positions * (high - low) * (1 + 2 * rounds.max_weight)


def hoeffding(found: Estimate, rounds: Rounds, level: float) -> Interval:
    """V ± √(ln(2/α) Σ_c (n_c R)² / 2) / N: users are independent, a user's n_c requests need not be.

    Source: Hoeffding 1963, theorem 2.
    """
    spread = contribution_spread(found, rounds)
    sizes = rounds.cluster_sizes
    margin = spread * np.sqrt(np.log(2 / (1 - level)) * (sizes @ sizes) / 2) / len(rounds)
    return Interval("hoeffding", level, found.value - margin, found.value + margin, "finite")


def empirical_bernstein(found: Estimate, rounds: Rounds, level: float) -> Interval:
    """V ± the empirical Bernstein margin of the users' sums, α/2 on each side."""
    spread = contribution_spread(found, rounds)
    sums = rounds.per_cluster(found.contributions)
    failure, whole = (1 - level) / 2, float(sums.sum())
    margin = cluster_margin(sums, float(len(rounds)), rounds.most_requests, spread, failure, whole)
    return Interval("empirical_bernstein", level, found.value - margin, found.value + margin, "finite")


def cluster_margin(
    sums: Float64[Array, "C"], total: float, largest: float, spread: float, failure: float, whole: float
) -> float:
    """One-sided empirical Bernstein margin of Σ sums / total, when a single request varies by at most `spread`.

    The observations are C/N times the sums of each user, N = `total` requests, at most `largest` of one user; `whole`
    is Σ sums.
    """
    users = len(sums)
    if users < 2:
        return np.inf
    scale = users / total
    around = sums - whole / users
    variance = scale**2 * float(around @ around) / (users - 1)
    return bernstein_margin(variance, users, spread * scale * largest, failure)
