"""An evaluation from sums alone: what `evaluate` says about a log, when only its Stats fit in memory.

Users are seen through their shards, so every error carries about 2 % noise of its own. What needs single rows or users
is not there: transforms other than clip, λ between the buckets' edges, the finite-sample and anytime intervals; k̂ only
if whoever made the sums saw the largest weights. The heaviest shard stands for the heaviest user, and is as heavy.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.ope.bounds import above
from rlrec.ope.curve import SCHEMA, point
from rlrec.ope.diagnostics import QUANTILES, Diagnostics
from rlrec.ope.intervals import REPLICATES, Interval, from_replicates, resamples
from rlrec.ope.likelihood import cressie_read
from rlrec.ope.statistics import (
    BUCKETS_PER_OCTAVE,
    FIRST_OCTAVE,
    REWARD,
    ROWS,
    WEIGHT,
    WEIGHT_SQUARED,
    Base,
    Stats,
    edges,
    influence,
    is_ratio,
    unit_error,
    value_of,
)

Array = np.ndarray


def intervals_of(
    stats: Stats, bases: Sequence[Base], level: float, *, seed: int, replicates: int = REPLICATES
) -> dict[Base, tuple[Interval, Interval]]:
    """Of each estimator a closed-form interval and a bootstrap over shards."""
    units, requests = stats.units, stats.requests[stats.present]
    times = resamples(len(units), replicates, np.random.default_rng(seed))
    means = times @ units.reshape(len(units), -1) / (times @ requests)[:, None]
    upper = float(stdtrit(max(len(units) - 1, 1), 0.5 + level / 2))
    found: dict[Base, tuple[Interval, Interval]] = {}
    for base in bases:
        value, error = stats.value(base), stats.standard_error(base)
        method = "delta" if is_ratio(base) else "student"
        closed = Interval(method, level, value - upper * error, value + upper * error, "asymptotic", error)
        values = value_of(base, means.reshape(replicates, *units.shape[1:]))
        found[base] = closed, from_replicates(values, value if len(units) > 1 else np.nan, level)
    return found


def likelihood_of(
    stats: Stats, level: float, reward_range: tuple[float, float], max_weight: float | None
) -> tuple[float, Interval]:
    """Cressie-Read with shards for users."""
    rows, weight, reward = (stats.units[:, feature].sum(axis=1) for feature in range(3))
    shards = np.column_stack((stats.requests[stats.present], rows, weight, reward))
    mean_reward = float(stats.totals[..., REWARD].sum() / stats.totals[..., ROWS].sum())
    return cressie_read(shards, mean_reward, level, reward_range, np.inf if max_weight is None else max_weight)


def clip_curve(
    stats: Stats,
    base: Base,
    *,
    level: float = 0.95,
    truth: float | None = None,
    reward_range: tuple[float, float] | None = None,
    max_weight: float | None = None,
) -> pl.DataFrame:
    """The rows of `rlrec.ope.curve` for min(w, λ), at 0, the edges of the buckets met, and untouched.

    clipped_share counts rows with w ≥ λ. The bound, of IPS and SNIPS, has shards for its independent observations.
    """
    requests, count = stats.requests[stats.present], stats.n
    shards, positions = len(requests), stats.cells.shape[1]
    upper = float(stdtrit(max(shards - 1, 1), 0.5 + level / 2))
    by_bucket = stats.totals.sum(axis=0)
    rows = float(by_bucket[:, ROWS].sum())
    met = np.flatnonzero(by_bucket[2:, ROWS])
    chosen = range(int(met[0]), min(int(met[-1]) + 2, len(edges()))) if met.size else range(0)
    plain = influence(base, stats.units, requests)
    worst = np.nan
    if reward_range is not None and base in ("ips", "snips"):
        low, high = reward_range
        worst = max(abs(low), abs(high)) if base == "ips" else high - low
    found: list[dict[str, object]] = []
    for edge in (None, *chosen, len(edges())):
        if edge is None:
            limit, units, places = 0.0, stats.units.copy(), 0
            units[:, [1, 2, 4]] = 0.0
        elif edge == len(edges()):
            limit, units, places = np.inf, stats.units, len(by_bucket)
        else:
            limit, units, places = float(edges()[edge]), stats.clipped(edge), edge + 2
        value = float(value_of(base, units.sum(axis=0) / count))
        sums = influence(base, units, requests)
        variance, error = float(sums @ sums) / count**2, unit_error(sums, count)
        bias, noise = value - stats.value(base), float((sums - plain) @ (sums - plain)) / count**2
        mass = np.nan
        if np.isfinite(worst):
            short = (units[:, 0] - units[:, 1]).sum(axis=1)
            most = min(limit, np.inf if max_weight is None else max_weight)
            spread = positions * (most + float(rows < count * positions))
            mass = above(short, float(count), float(requests.max()), spread, 1 - level, float(positions))
        heavy = float(by_bucket[places:, ROWS].sum())
        squared = float(by_bucket[:places, WEIGHT_SQUARED].sum()) + (limit**2 * heavy if heavy else 0.0)
        weight = float(units[:, 1].sum())
        found.append(
            point(base, "clip", limit, value, variance, error, bias, noise, worst * mass, upper, truth)
            | {
                "ess": weight**2 / squared if squared > 0 else 0.0,
                "clipped_share": heavy / rows,
                "mass_missing": 1 - weight / rows,
            }
        )
    return pl.DataFrame(found, schema=SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


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
    one = -FIRST_OCTAVE * BUCKETS_PER_OCTAVE  # the edge at λ = 1
    below = stats.clipped(one)[:, 1].sum()
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
