"""An evaluation from sums alone: what `evaluate` says about a log, when only its Stats fit in memory.

Users are seen through their shards, so every error carries about 2 % noise of its own. What needs single rows or users
is not there: the finite-sample and anytime intervals, and k̂ only if whoever made the sums saw the largest weights. Clip
and switch are known at the buckets' edges, any other transform where it was named beforehand. The heaviest shard stands
for the heaviest user, and is as heavy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.errors import InputError
from rlrec.ope.bounds import above, worst_outcome
from rlrec.ope.curve import SCHEMA, frequencies, point
from rlrec.ope.diagnostics import QUANTILES, Diagnostics
from rlrec.ope.estimators import SPECIAL, Estimate, form_of, require_model, steadiest
from rlrec.ope.intervals import REPLICATES, Interval, from_replicates, resamples
from rlrec.ope.likelihood import cressie_read
from rlrec.ope.statistics import (
    REWARD,
    ROWS,
    WEIGHT,
    WEIGHT_SQUARED,
    WEIGHTED_REWARD,
    Base,
    Stats,
    below_edges,
    edges,
    influence,
    is_ratio,
    unit_error,
    value_of,
)
from rlrec.ope.transforms import Family, Transform, greatest, greatest_excess, grid, identity

Array = np.ndarray

EXACT: tuple[Family, ...] = ("clip", "switch")  # decided by buckets: whatever they need is always there
OS_OCTAVES = (-2, 8)  # of the thresholds whose squares the os curve takes: fixed, because named before a row is read
NAMED: dict[Family, tuple[Transform, ...]] = {
    "os": tuple(Transform("os", float(e**2)) for e in edges() if OS_OCTAVES[0] <= np.log2(e) <= OS_OCTAVES[1]),
    "sg": tuple(Transform("sg", float(step)) for step in grid(np.empty(0), "sg")[:-1]),
    "power": tuple(Transform("power", float(step)) for step in grid(np.empty(0), "power")[:-1]),
}
"""What must be asked of every row for the curve of a family; clip and switch need nothing."""


def needed(estimators: Sequence[str] = (), families: Sequence[Family] = ()) -> tuple[Transform, ...]:
    """The transforms to name before the rows are read, for estimators and for curves.

    Raises:
        InputError: no such estimator, or one that sums cannot tell.
    """
    if "replay" in estimators:
        raise InputError("sums cannot tell replay", remedy="use snips, which is the same where replay is right")
    named = [form_of(name)[1] for name in estimators if name not in SPECIAL]
    curves = [transform for family in families for transform in NAMED.get(family, ())]
    return tuple(dict.fromkeys([*(one for one in named if one is not None), *curves]))


@dataclass(frozen=True, eq=False)
class Summed:
    """An estimate, and the feature sums of each shard that determine it."""

    estimate: Estimate
    units: Float64[Array, "U 5 K"]


def estimate_of(name: str, stats: Stats) -> Summed:
    """An estimator by its name, its error clustered by shard.

    Raises:
        InputError: no such estimator, or the sums lack its predictions or its transform.
    """
    requests = stats.requests[stats.present]
    if name == "beta_ips":
        return steadied(stats, requests)
    base, transform = form_of(name)
    require_model(base, has_model=stats.has_model)
    units = stats.under(transform).units
    value = float(value_of(base, units.sum(axis=0) / stats.n))
    error = unit_error(influence(base, units, requests), stats.n)
    family, parameter = (None, None) if transform is None else transform
    return Summed(Estimate(name.partition("@")[0], base, value, error, np.empty(0), family, parameter), units)


def steadied(stats: Stats, requests: Float64[Array, "U"]) -> Summed:
    """β-IPS: see `rlrec.ope.estimators.beta_ips`."""
    count, weight, reward = (stats.units[:, feature].sum(axis=1) for feature in range(3))
    value, surplus = float(reward.sum()) / stats.n, float((weight - count).sum()) / stats.n
    centred, centred_surplus = reward - value * requests, weight - count - surplus * requests
    beta = steadiest(centred, centred_surplus)
    error = unit_error(centred - beta * centred_surplus, stats.n)
    found = Estimate("beta_ips", "ips", value - beta * surplus, error, np.empty(0), parameter=beta, resampled=False)
    return Summed(found, stats.units)


def closed_form(found: Estimate, shards: int, level: float) -> Interval:
    """The estimate ± t·error."""
    error, method = found.standard_error, "delta" if is_ratio(found.base) else "student"
    margin = float(stdtrit(max(shards - 1, 1), 0.5 + level / 2)) * error
    return Interval(method, level, found.value - margin, found.value + margin, "asymptotic", error)


def intervals_of(
    stats: Stats, found: Sequence[Summed], level: float, *, seed: int, replicates: int = REPLICATES
) -> list[tuple[Interval, ...]]:
    """Of each estimate a closed-form interval and, where sums can be resampled, a bootstrap over shards."""
    requests = stats.requests[stats.present]
    shards = len(requests)
    times = resamples(shards, replicates, np.random.default_rng(seed))
    drawn = (times @ requests)[:, None]
    means: dict[tuple[str | None, float | None], Array] = {}
    intervals: list[tuple[Interval, ...]] = []
    for summed in found:
        one = summed.estimate
        closed = closed_form(one, shards, level)
        if not one.resampled:
            intervals.append((closed,))
            continue
        key = one.family, one.parameter
        if key not in means:
            flat = times @ summed.units.reshape(shards, -1) / drawn
            means[key] = flat.reshape(replicates, *summed.units.shape[1:])
        values = value_of(one.base, means[key])
        intervals.append((closed, from_replicates(values, one.value if shards > 1 else np.nan, level)))
    return intervals


def likelihood_of(
    stats: Stats, level: float, reward_range: tuple[float, float], max_weight: float | None
) -> tuple[float, Interval]:
    """Cressie-Read with shards for users."""
    rows, weight, reward = (stats.units[:, feature].sum(axis=1) for feature in range(3))
    shards = np.column_stack((stats.requests[stats.present], rows, weight, reward))
    mean_reward = float(stats.totals[..., REWARD].sum() / stats.totals[..., ROWS].sum())
    return cressie_read(shards, mean_reward, level, reward_range, np.inf if max_weight is None else max_weight)


def curve_of_stats(
    stats: Stats,
    base: Base,
    family: Family,
    *,
    level: float = 0.95,
    truth: float | None = None,
    reward_range: tuple[float, float] | None = None,
    max_weight: float | None = None,
    resampled: int = 0,
    seed: int = 0,
) -> pl.DataFrame:
    """The rows of `rlrec.ope.curve` where sums are exact: the λ of `decided`.

    clipped_share counts rows with w ≥ λ for clip. The bound has shards for its independent observations, and says
    nothing where nothing bounds the weight.

    Raises:
        InputError: the family needed its transforms to be named before the rows were read.
    """
    requests, count = stats.requests[stats.present], stats.n
    shards, positions = len(requests), stats.cells.shape[1]
    times = float(stdtrit(max(shards - 1, 1), 0.5 + level / 2))
    rows = float(stats.totals[..., ROWS].sum())
    plain = influence(base, stats.units, requests)
    worst = worst_outcome(base, reward_range, stats.predicted)
    most_requests, loose = float(requests.max()), float(rows < count * positions)
    found: list[dict[str, object]] = []
    traced: list[tuple[Array, Array]] = []
    for parameter in decided(stats, family):
        bent = stats.under(Transform(family, parameter))
        value = float(value_of(base, bent.units.sum(axis=0) / count))
        sums = influence(base, bent.units, requests)
        variance, error = float(sums @ sums) / count**2, unit_error(sums, count)
        bias, noise = value - stats.value(base), float((sums - plain) @ (sums - plain)) / count**2
        misplaced = (bent.units[:, 0] - bent.units[:, 1]).sum(axis=1) + 2 * bent.excess
        traced.append((sums, worst * misplaced))
        mass = np.nan
        if np.isfinite(worst):
            most = greatest(family, parameter, np.inf if max_weight is None else max_weight)
            excess = 2 * greatest_excess(family, parameter)
            spread, trivial = positions * (most + excess + loose), positions * (1 + excess)
            mass = above(misplaced, float(count), most_requests, spread, 1 - level, trivial)
        weight = float(bent.units[:, 1].sum())
        found.append(
            point(base, family, parameter, value, variance, error, bias, noise, worst * mass, times, truth)
            | {
                "ess": weight**2 / bent.squared if bent.squared > 0 else 0.0,
                "clipped_share": bent.lighter / rows,
                "mass_missing": 1 - weight / rows,
            }
        )
    frame = pl.DataFrame(found, schema=SCHEMA)
    if resampled and shards > 1:
        values, bounds = (np.array(part) for part in zip(*traced, strict=True))
        frame = frame.with_columns(*frequencies(frame, values, bounds, requests, times, resampled, seed))
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def histogram_of(stats: Stats) -> pl.DataFrame:
    """`rlrec.ope.diagnostics.weight_histogram`, with one bucket below the first edge and one above the last."""
    by_bucket = stats.totals.sum(axis=0)
    low = np.concatenate(([0.0, 0.0], edges()))
    met = by_bucket[:, ROWS] > 0
    return pl.DataFrame(
        {
            "low": low,
            "high": np.concatenate(([0.0], low[2:], [np.inf])),
            "rows": by_bucket[:, ROWS].astype(np.int64),
            "weight": by_bucket[:, WEIGHT],
            "weighted_reward": by_bucket[:, WEIGHTED_REWARD],
        }
    ).filter(met)


def decided(stats: Stats, family: Family) -> list[float]:
    """The λ of a curve from sums. clip, switch: 0, the edges of the buckets met, inf; the others: those of `NAMED`."""
    if family not in EXACT:
        named = [one.parameter for one in NAMED[family]]
        return [0.0, *named, np.inf] if family == "os" else [*named, identity(family)]
    deciding = edges() if family == "clip" else below_edges()
    met = np.flatnonzero(stats.totals.sum(axis=0)[2:, ROWS])
    inner = deciding[met[0] : met[-1] + 2] if met.size else deciding[:0]
    return [0.0, *inner.tolist(), np.inf]


def diagnose_stats(stats: Stats, level: float = 0.95) -> Diagnostics:
    """The diagnostics that sums can tell; quantiles are the upper edges of the buckets they lie in."""
    by_position, by_bucket = stats.totals.sum(axis=1), stats.totals.sum(axis=0)
    rows, weight, squared = (float(by_bucket[:, column].sum()) for column in (ROWS, WEIGHT, WEIGHT_SQUARED))
    requests, shards = stats.requests[stats.present], int(stats.present.sum())
    shown, weights = (stats.units[:, feature].sum(axis=1) for feature in (0, 1))
    mean = weight / rows
    error = unit_error(weights - mean * shown, rows)
    times = float(stdtrit(max(shards - 1, 1), 0.5 + level / 2))
    size = stats.effective_sample_size
    below = stats.under(Transform("clip", 1.0)).units[:, 1].sum()
    upper_edges = np.concatenate(([0.0], edges(), [stats.max_weight]))
    reached = np.searchsorted(by_bucket[:, ROWS].cumsum(), np.array(QUANTILES) * rows)
    plain = stats.standard_error("ips")
    return Diagnostics(
        requests=stats.n,
        rows=int(rows),
        clusters=len(requests),
        positions=len(by_position),
        effective_sample_size=size,
        effective_share=size / rows,
        effective_by_position=tuple(
            float(p[WEIGHT] ** 2 / p[WEIGHT_SQUARED]) if p[WEIGHT_SQUARED] > 0 else 0.0 for p in by_position
        ),
        max_weight=stats.max_weight,
        max_row_share=stats.max_weight / weight if weight > 0 else np.nan,
        max_cluster_share=float(weights.max()) / weight if weight > 0 else np.nan,
        mean_weight=mean,
        mean_weight_z=(mean - 1) / error if error > 0 else (0.0 if mean == 1 else np.nan),
        missing_mass=max(0.0, 1 - mean),
        missing_mass_low=max(0.0, 1 - mean - times * error),
        k_hat=stats.k_hat,
        overlap=float(below) / rows,
        second_moment=squared / rows,
        zero_share=float(by_bucket[0, ROWS]) / rows,
        weight_quantiles=tuple(float(min(upper_edges[place], stats.max_weight)) for place in reached),
        variance_ratio=(stats.standard_error("dr") / plain) ** 2 if stats.has_model and plain > 0 else np.nan,
        propensity_estimated=stats.estimated_rows > 0,
    )
