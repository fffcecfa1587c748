"""Several target policies on one log: intervals that hold for all at once, paired differences, and how well they rank.

Resamples of users are shared, so a difference knows how the two move together. The best of m by point estimate is
biased upward; an interval that covers all m at once is not fooled by having picked it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from rlrec.errors import InputError
from rlrec.ope.estimators import Estimate, ips
from rlrec.ope.intervals import REPLICATES, Interval, resamples, shards_of, weights_of
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import REWARD, ROWS, Base, Stats, unit_sums, value_of

Array = np.ndarray
LOGGING = "logging"


@dataclass(frozen=True, eq=False)
class Summed:
    """A policy's value and the sums of features that resampled units, the same for all policies, bring to it."""

    name: str
    base: Base
    value: float
    units: Float64[Array, "U 5 K"]
    requests: Float64[Array, "U"]


def summed(name: str, found: Estimate, rounds: Rounds, *, seed: int) -> Summed:
    """From memory: users are the units, or shards of them where they are many.

    Raises:
        InputError: an estimator that sums of features do not determine.
    """
    if not found.resampled:
        raise InputError(f"{found.estimator} cannot be resampled", remedy="compare by snips or sndr")
    shard = shards_of(rounds.clusters, np.random.default_rng(seed))
    units = int(shard.max()) + 1
    sums = unit_sums(rounds, shard, weights_of(found, rounds))
    return Summed(
        name, found.base, found.value, sums, np.bincount(shard, weights=rounds.cluster_sizes, minlength=units)
    )


def logged(rounds: Rounds, *, seed: int) -> Summed:
    """The logging policy itself, to be compared with: the mean reward of its own log, whatever a policy predicts."""
    same = replace(rounds, target_probability=rounds.propensity, max_weight=None, q_hat=None, q_hat_target=None)
    return summed(LOGGING, ips(same), same, seed=seed)


def summed_stats(name: str, base: Base, stats: Stats) -> Summed:
    """From sums alone."""
    return Summed(name, base, stats.value(base), stats.units, stats.requests[stats.present])


def logged_stats(stats: Stats) -> Summed:
    """The logging policy, from sums alone."""
    units = np.zeros_like(stats.units)
    totals = stats.cells[stats.present].sum(axis=2)
    units[:, 0], units[:, 1], units[:, 2] = totals[..., ROWS], totals[..., ROWS], totals[..., REWARD]
    return Summed(LOGGING, "ips", stats.logging_value, units, stats.requests[stats.present])


def simultaneous(
    found: Sequence[Summed],
    level: float,
    *,
    seed: int,
    contrasts: Float64[Array, "P M"] | None = None,
    replicates: int = REPLICATES,
) -> list[Interval]:
    """Intervals value ± t·se, t the level's quantile of max_p |value*_p - value_p| / se_p over shared resamples.

    All hold together at `level`. `contrasts` asks about combinations of the m values, one a row, in place of each.
    Source: Romano & Wolf 2005 (max-t, studentised by the resamples' own spread).

    Raises:
        InputError: no policy, or logs that differ in their users.
    """
    if not found:
        raise InputError("no policy to compare", remedy="give at least one")
    requests = found[0].requests
    if any(not np.array_equal(one.requests, requests) for one in found):
        raise InputError("policies to compare need one log: their users differ", column="user")
    asked = np.eye(len(found)) if contrasts is None else contrasts
    centre = asked @ np.array([one.value for one in found])
    nowhere = [Interval("max_t", level, np.nan, np.nan, "asymptotic") for _ in centre]
    units = len(requests)
    if units < 2 or not np.isfinite(centre).all():
        return nowhere
    times = resamples(units, replicates, np.random.default_rng([seed, units]))
    drawn = np.empty((len(found), replicates))
    for number, one in enumerate(found):
        means = times @ one.units.reshape(units, -1) / (times @ requests)[:, None]
        drawn[number] = value_of(one.base, means.reshape(replicates, *one.units.shape[1:]))
    values = (asked @ drawn)[:, np.isfinite(drawn).all(axis=0)]
    if values.shape[1] < 2:
        return nowhere
    error = values.std(axis=1, ddof=1)
    gaps = np.abs(values - centre[:, None])
    moved = np.divide(gaps, error[:, None], out=np.zeros_like(values), where=error[:, None] > 0)
    half = float(np.quantile(moved.max(axis=0), level)) * error
    return [
        Interval("max_t", level, float(value - width), float(value + width), "asymptotic", float(spread))
        for value, width, spread in zip(centre, half, error, strict=True)
    ]


def compared(
    found: Sequence[Summed], references: Sequence[Summed], level: float, *, seed: int, replicates: int = REPLICATES
) -> list[dict[str, object]]:
    """A row per policy; then, for each reference in turn, one per other policy minus it, paired.

    The rows of the policies hold at `level` at once, and so do those of each reference. A launch asks for a lower end
    of its difference above 0: `rlrec.ope.selection.gate`.
    """
    rows: list[dict[str, object]] = []
    for reference in (None, *references):
        asked = [one for one in found if one is not reference]
        known = [one for one in asked if np.isfinite(one.value)]  # one without a value must not cost the others theirs
        pairs = None if reference is None else np.hstack((np.eye(len(known)), -np.ones((len(known), 1))))
        both = known if reference is None else [*known, reference]
        found_of_known = simultaneous(both, level, seed=seed, contrasts=pairs, replicates=replicates) if known else []
        of_name = dict(zip([one.name for one in known], found_of_known, strict=True))
        nowhere = Interval("max_t", level, np.nan, np.nan, "asymptotic")
        rows.extend(
            {
                "target_policy": one.name,
                "reference": None if reference is None else reference.name,
                "estimator": one.base,
                "value": one.value - (0.0 if reference is None else reference.value),
                "standard_error": interval.standard_error,
                "level": level,
                "low": interval.low,
                "high": interval.high,
                "method": interval.method,
                "validity": interval.validity,
            }
            for one in asked
            for interval in (of_name.get(one.name, nowhere),)
        )
    return rows


@dataclass(frozen=True)
class Ranking:
    """How well estimates order policies whose true values are known; not a number where the question has no answer.

    `regret`: best true value minus the best true value among the k best by estimate. `violations`: share of the k that
    are truly below `safe`; `false_alarms`, `misses`: of the safe those estimated unsafe, of the unsafe those estimated
    safe. `sharpe`: (best of the k - logging value) / standard deviation of the k, for k ≥ 2.
    """

    spearman: float
    kendall: float
    regret: float
    violations: float
    false_alarms: float
    misses: float
    sharpe: float


def ranking(
    estimated: Float64[Array, "M"], true: Float64[Array, "M"], k: int, *, safe: float, logging_value: float
) -> Ranking:
    """All of it for the `k` best by estimate.

    Source: Fu et al. 2021 (regret@k); Kiyohara et al. 2024 (SharpeRatio@k).
    """
    top = np.argsort(-estimated, kind="stable")[:k]
    is_safe, said_safe = true >= safe, estimated >= safe
    signs = [np.sign(values[:, None] - values) for values in (estimated, true)]
    pairs = np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum())
    chosen = true[top]
    spread = float(chosen.std(ddof=1)) if len(chosen) > 1 else 0.0
    return Ranking(
        spearman=correlation(ranks(estimated), ranks(true)),
        kendall=float((signs[0] * signs[1]).sum() / pairs) if pairs > 0 else np.nan,
        regret=float(true.max() - chosen.max()),
        violations=float(np.mean(~is_safe[top])),
        false_alarms=share(~said_safe, is_safe),
        misses=share(said_safe, ~is_safe),
        sharpe=(float(chosen.max()) - logging_value) / spread if spread > 0 else np.nan,
    )


def ranks(values: Float64[Array, "M"]) -> Float64[Array, "M"]:
    """Places from the least, equal values sharing theirs."""
    _, code, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (sizes.cumsum() - (sizes - 1) / 2)[code]


def correlation(one: Float64[Array, "M"], two: Float64[Array, "M"]) -> float:
    """Pearson's, not a number where one does not vary."""
    a, b = one - one.mean(), two - two.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else np.nan


def share(hit: Bool[Array, "M"], among: Bool[Array, "M"]) -> float:
    """Of those among, how many are hit."""
    return float(np.mean(hit[among])) if among.any() else np.nan
