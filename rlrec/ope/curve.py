"""The weight-vs-bias curve: an estimate per parameter of a transform, its variance and how far it may be bent."""

import numpy as np
import polars as pl
from jaxtyping import Float64
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.ope.bounds import Pilot, misplaced_mass, outcome_range
from rlrec.ope.diagnostics import kish
from rlrec.ope.estimators import bent, contributions
from rlrec.ope.intervals import MAX_SHARDS, resamples
from rlrec.ope.rounds import Rounds
from rlrec.ope.selection import RULES, preferred
from rlrec.ope.statistics import Base, is_ratio
from rlrec.ope.transforms import Family, grid

Array = np.ndarray

SCHEMA: dict[str, pl.DataType] = {
    "base": pl.String(),
    "family": pl.String(),
    **dict.fromkeys(
        (
            "lambda",
            "value",
            "variance",
            "se",
            "bias_plugin",
            "bias_bound",
            "mse_plugin",
            "mse_plugin_debiased",
            "mse_bound",
            "ess",
            "clipped_share",
            "mass_missing",
            "ci_low",
            "ci_high",
            "true_bias",
            "true_mse",
        ),
        pl.Float64(),
    ),
    **dict.fromkeys((f"frequency_{rule}" for rule in RULES), pl.Float64()),
    "bound_validity": pl.String(),
}


def curve(
    rounds: Rounds,
    base: Base,
    family: Family,
    *,
    parameters: Float64[Array, "L"] | None = None,
    level: float = 0.95,
    truth: float | None = None,
    resampled: int = 0,
    seed: int = 0,
) -> pl.DataFrame:
    """One row per λ, from the strongest transform to the untouched weight; nulls where something does not exist.

    - variance: var(φ)/N over users, without a small-sample factor; se, ci_low, ci_high have C/(C-1) and Student's t.
    - bias_plugin: value - value of the untouched weights, signed. Its square is inflated by its own noise, so
      mse_plugin_debiased = variance + max(0, bias_plugin² - var(difference)) stands beside mse_plugin.
    - bias_bound: |bias| ≤ R·Σ_k E[1 - ŵ_k + 2(ŵ_k - w_k)₊] holds with probability `level`; null without a declared
      reward range, and where rows were sampled. mse_bound = variance + bias_bound². bound_validity: finite, or
      asymptotic for ratios.
    - ess and mass_missing = 1 - mean ŵ over rows; clipped_share: rows with ŵ < w.
    - true_bias = value - truth on this log, whose mean over logs is the bias; true_mse its square. Needs `truth`.
    - frequency_RULE: share of `resampled` logs in which the rule would choose this λ.
    """
    weights = rounds.weights
    points = grid(rounds.ratios[rounds.mask], family) if parameters is None else parameters
    shown = int(np.count_nonzero(rounds.mask))
    count, users = len(rounds), rounds.clusters
    full_value, full_sums = centred(contributions(base, rounds, weights), rounds)
    worst = outcome_range(base, rounds)
    pilot = Pilot.of(rounds)
    times = float(stdtrit(max(users - 1, 1), 0.5 + level / 2))
    rows: list[dict[str, object]] = []
    traced: list[tuple[Array, Array]] = []
    for parameter in points.tolist():
        used = bent(rounds, family, parameter)
        value, sums = centred(contributions(base, rounds, used), rounds)
        variance = float(sums @ sums) / count**2
        error = np.sqrt(variance * users / (users - 1)) if users > 1 else np.nan
        difference = sums - full_sums
        bias = value - full_value
        noise = float(difference @ difference) / count**2
        mass, misplaced = np.nan, sums
        if np.isfinite(worst):
            mass, misplaced = misplaced_mass(rounds, used, family, parameter, 1 - level, pilot)
        if resampled:
            traced.append((sharded(sums), worst * sharded(misplaced)))
        flat = used.reshape(-1)
        total = float(flat.sum())
        rows.append(
            point(base, family, parameter, value, variance, error, bias, noise, worst * mass, times, truth)
            | {
                "ess": kish(total, float(flat @ flat)),
                "clipped_share": np.count_nonzero(used < weights) / shown,
                "mass_missing": 1 - total / shown,
            }
        )
    frame = pl.DataFrame(rows, schema=SCHEMA)
    if resampled and users > 1:
        values, bounds = (np.array(part) for part in zip(*traced, strict=True))
        units = sharded(rounds.cluster_sizes)
        frame = frame.with_columns(*frequencies(frame, values, bounds, units, times, resampled, seed))
    return frame.with_columns(pl.col(pl.Float64).fill_nan(None))


def sharded(sums: Float64[Array, "C"]) -> Float64[Array, "S"]:
    """Sums of users, or of `MAX_SHARDS` shards of them."""
    return sums if len(sums) <= MAX_SHARDS else np.bincount(np.arange(len(sums)) % MAX_SHARDS, weights=sums)


def frequencies(
    frame: pl.DataFrame,
    values: Float64[Array, "L S"],
    bounds: Float64[Array, "L S"],
    requests: Float64[Array, "S"],
    times: float,
    resampled: int,
    seed: int,
) -> list[pl.Series]:
    """How often each rule would choose each λ, were users drawn again: one column per rule.

    To first order in the users' sums of influence, of the value and of the bound's mean; the bound's margin stays.
    """
    drawn = resamples(len(requests), resampled, np.random.default_rng(seed))
    total = (drawn @ requests)[:, None]
    shift = drawn @ values.T / total
    spread = (
        drawn @ values.T**2 - 2 * shift * (drawn @ (values * requests).T) + shift**2 * (drawn @ requests**2)[:, None]
    )
    variance = np.maximum(spread, 0.0) / total**2
    value, bound = (frame[name].to_numpy() for name in ("value", "bias_bound"))
    mse = variance + (bound + drawn @ bounds.T / total - bounds.sum(axis=1) / requests.sum()) ** 2
    half = times * np.sqrt(variance * len(requests) / (len(requests) - 1))
    found: list[pl.Series] = []
    for rule in RULES:
        usable = np.flatnonzero(np.isfinite(bound if rule == "mse_bound" else value))
        shares = np.full(len(value), np.nan)
        if usable.size:
            ordered = usable[np.argsort(-frame["lambda"].to_numpy()[usable], kind="stable")]
            places = preferred(rule, (value + shift)[:, ordered], half[:, ordered], mse[:, ordered])
            shares[ordered] = np.bincount(places, minlength=len(ordered)) / resampled
        found.append(pl.Series(f"frequency_{rule}", shares))
    return found


def point(
    base: Base, family: str, parameter: float, value: float, variance: float, error: float, bias: float, noise: float,
    bound: float, times: float, truth: float | None,
) -> dict[str, object]:  # fmt: skip
    """What follows of a point of the curve, whoever summed it.

    `noise` is the variance of `bias`, `times` the quantile of the interval.
    """
    missed = np.nan if truth is None else value - truth
    return {
        "base": base,
        "family": family,
        "lambda": parameter,
        "value": value,
        "variance": variance,
        "se": error,
        "bias_plugin": bias,
        "bias_bound": bound,
        "mse_plugin": variance + bias**2,
        "mse_plugin_debiased": variance + max(0.0, bias**2 - noise),
        "mse_bound": variance + bound**2,
        "ci_low": value - times * error,
        "ci_high": value + times * error,
        "true_bias": missed,
        "true_mse": missed**2,
        "bound_validity": "asymptotic" if is_ratio(base) else "finite",
    }


def centred(phi: Float64[Array, "N"], rounds: Rounds) -> tuple[float, Float64[Array, "C"]]:
    """The mean of the contributions, and what remains of them per user."""
    value = float(phi.mean())
    return value, rounds.per_cluster(phi - value)
