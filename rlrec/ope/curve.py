"""The weight-vs-bias curve: an estimate per parameter of a transform, its variance and how far it may be bent."""

import numpy as np
import polars as pl
from jaxtyping import Float64
from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.ope.bounds import Pilot, misplaced_mass, outcome_range
from rlrec.ope.diagnostics import effective
from rlrec.ope.estimators import bent, contributions
from rlrec.ope.rounds import Rounds
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
    for parameter in points.tolist():
        used = bent(rounds, family, parameter)
        value, sums = centred(contributions(base, rounds, used), rounds)
        variance = float(sums @ sums) / count**2
        error = np.sqrt(variance * users / (users - 1)) if users > 1 else np.nan
        difference = sums - full_sums
        bias = value - full_value
        noise = float(difference @ difference) / count**2
        mass = np.nan
        if np.isfinite(worst):
            mass = misplaced_mass(rounds, used, family, parameter, 1 - level, pilot)
        flat = used.reshape(-1)
        rows.append(
            point(base, family, parameter, value, variance, error, bias, noise, worst * mass, times, truth)
            | {
                "ess": effective(flat),
                "clipped_share": np.count_nonzero(used < weights) / shown,
                "mass_missing": 1 - float(flat.sum()) / shown,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


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
    return value, -value * rounds.cluster_sizes + rounds.per_cluster(phi)
