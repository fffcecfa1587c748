"""Tuning rules over a curve, and the verdict: may this estimate carry a launch decision?"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from rlrec.ope.diagnostics import Diagnostics

Rule = Literal["mse_bound", "slope", "slope_plus_plus"]
RULES: tuple[Rule, ...] = get_args(Rule)
Grade = Literal["trust", "caution", "no_support"]
GRADES: tuple[Grade, ...] = get_args(Grade)
"""From the best to the worst."""

SLOPE_WIDTH = 2.0  # half widths around each value; Lepski's constant in Su et al. 2020
WIDER_SHARE = np.sqrt(6.0) - 1  # of the wider half width that a narrower value may lie away; Tucker & Lee 2021

LEAST_EFFECTIVE_SIZE = 100.0  # this and the limits below: our proposal, see docs/ope.md
LEAST_EFFECTIVE_SHARE = 0.01
LARGEST_SHARE_REFUSED = 0.25
LARGEST_ROW_SHARE = 0.05
MISSING_MASS_REFUSED = 0.05
MISSING_MASS = 0.0
LARGEST_Z = 4.0
LARGEST_WEIGHT_GAP = 0.1
LARGEST_K_HAT = 0.7  # Vehtari et al. 2024
LARGEST_VARIANCE_RATIO = 1.0


@dataclass(frozen=True)
class Selection:
    """The parameter a rule chose, on the rows that the value is computed from: its interval is optimistic.

    `frequency` is the share of resampled logs in which the rule chooses the same, where somebody resampled.
    """

    rule: Rule
    base: str
    family: str
    parameter: float
    value: float
    frequency: float = np.nan
    same_rows: bool = True


@dataclass(frozen=True)
class Failure:
    """A rule that was broken, by what, and where its limit lies."""

    rule: str
    value: float
    limit: float
    grade: Grade


@dataclass(frozen=True)
class Verdict:
    """`trust`, `caution` or `no_support`; the broken rules, and the diagnostics that could not be had."""

    grade: Grade
    failures: tuple[Failure, ...]
    unavailable: tuple[str, ...]

    def to_record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "verdict": self.grade,
            "failed": [asdict(failure) for failure in self.failures],
            "unavailable": list(self.unavailable),
        }


def select(curve: pl.DataFrame, rule: Rule) -> Selection | None:
    """The row of one curve that a rule prefers; None when its numbers are not there.

    mse_bound: least variance + bias_bound². Source: Su et al. 2020, with the bound of `bounds`.
    The others go in order of falling half width h; bias must grow as h falls. slope: the last value before the
    intervals value ± 2h stop having a common point. Source: Su, Srinath & Krishnamurthy 2020 (SLOPE).
    slope_plus_plus: the last before one lies more than h + (√6 - 1)·h_j from an earlier one. Source: Tucker & Lee
    2021 (SLOPE++).
    """
    needed = "mse_bound" if rule == "mse_bound" else "ci_high"
    rows = curve.drop_nulls([needed, "value"]).sort("lambda", descending=True)
    if rows.is_empty():
        return None
    value, upper, error = (rows[name].to_numpy() for name in ("value", "ci_high", "mse_bound"))
    chosen = rows.row(int(preferred(rule, value, upper - value, error)), named=True)
    frequency = chosen.get(f"frequency_{rule}")
    return Selection(
        rule, chosen["base"], chosen["family"], chosen["lambda"], chosen["value"],
        np.nan if frequency is None else frequency,
    )  # fmt: skip


def preferred(
    rule: Rule,
    value: Float64[np.ndarray, "... L"],
    half: Float64[np.ndarray, "... L"],
    error: Float64[np.ndarray, "... L"],
) -> Int64[np.ndarray, "..."]:
    """The place that a rule prefers, by values, half widths and `mse_bound`; of equal ones the first."""
    if rule == "mse_bound":
        return np.asarray(error.argmin(axis=-1))
    order = np.argsort(-half, axis=-1, kind="stable")
    value, half = (np.take_along_axis(one, order, axis=-1) for one in (value, half))
    place = slope(value, SLOPE_WIDTH * half) if rule == "slope" else slope_plus_plus(value, half)
    return np.asarray(np.take_along_axis(order, place[..., None], axis=-1)[..., 0])


def slope(value: Float64[np.ndarray, "... L"], width: Float64[np.ndarray, "... L"]) -> Int64[np.ndarray, "..."]:
    """The last place before the intervals value ± width, in order of falling width, stop having a common point."""
    lower, upper = np.maximum.accumulate(value - width, axis=-1), np.minimum.accumulate(value + width, axis=-1)
    return before_first(lower > upper)


def slope_plus_plus(
    value: Float64[np.ndarray, "... L"], half: Float64[np.ndarray, "... L"]
) -> Int64[np.ndarray, "..."]:
    """The last place before |θ_i - θ_j| > h_i + (√6 - 1)·h_j for some j < i, in order of falling h."""
    distance = np.abs(value[..., :, None] - value[..., None, :])
    apart = distance > half[..., :, None] + WIDER_SHARE * half[..., None, :]
    return before_first(np.tril(apart, -1).any(axis=-1))


def before_first(stops: Bool[np.ndarray, "... L"]) -> Int64[np.ndarray, "..."]:
    """The place before the first stop; the last where there is none."""
    return np.asarray(np.where(np.asarray(stops.any(axis=-1)), np.asarray(stops.argmax(axis=-1)), stops.shape[-1]) - 1)


def decision_changes(curve: pl.DataFrame, baseline: float) -> bool | None:
    """Whether some λ would launch (interval above the logging policy's value) and another would reject (below it).

    Meant for a self-normalised base: plain IPS falls to 0 with λ, and would always change its mind.
    """
    rows = curve.drop_nulls(["ci_low", "ci_high"])
    if rows.is_empty():
        return None
    return bool((rows["ci_low"] > baseline).any() and (rows["ci_high"] < baseline).any())


def judge(seen: Diagnostics, *, sign_change: bool | None = None) -> Verdict:
    """Rules of refusal first, then of caution. What is unavailable is listed, never counted as passed.

    Refused: effective sample size < 100; a row or a user with > 25 % of the weight; missing mass > 5 % for certain;
    |z| of the mean weight > 4. Caution: effective share < 1 %; a row > 5 %; |mean weight - 1| > 0.1; missing mass > 0
    for certain; k̂ > 0.7; var(DR)/var(IPS) > 1; estimated propensities; a decision that changes along the curve.
    """
    z, gap = abs(seen.mean_weight_z), abs(seen.mean_weight - 1)
    changes = np.nan if sign_change is None else float(sign_change)
    refused = [
        ("effective_sample_size", seen.effective_sample_size, LEAST_EFFECTIVE_SIZE, False),
        ("max_row_share", seen.max_row_share, LARGEST_SHARE_REFUSED, True),
        ("max_cluster_share", seen.max_cluster_share, LARGEST_SHARE_REFUSED, True),
        ("missing_mass_low", seen.missing_mass_low, MISSING_MASS_REFUSED, True),
        ("mean_weight_z", z, LARGEST_Z, True),
    ]
    careful = [
        ("effective_share", seen.effective_share, LEAST_EFFECTIVE_SHARE, False),
        ("max_row_share", seen.max_row_share, LARGEST_ROW_SHARE, True),
        ("mean_weight_gap", gap, LARGEST_WEIGHT_GAP, True),
        ("missing_mass_low", seen.missing_mass_low, MISSING_MASS, True),
        ("k_hat", seen.k_hat, LARGEST_K_HAT, True),
        ("variance_ratio", seen.variance_ratio, LARGEST_VARIANCE_RATIO, True),
        ("propensity_estimated", float(seen.propensity_estimated), 0.0, True),
        ("decision_changes", changes, 0.0, True),
    ]
    failures: list[Failure] = []
    unavailable: list[str] = []
    rules: list[tuple[Grade, list[tuple[str, float, float, bool]]]] = [("no_support", refused), ("caution", careful)]
    for grade, group in rules:
        for name, value, limit, at_most in group:
            if not np.isfinite(value):
                unavailable.append(name)
            elif (value > limit) if at_most else (value < limit):
                failures.append(Failure(name, value, limit, grade))
    grades = [failure.grade for failure in failures]
    grade: Grade = "no_support" if "no_support" in grades else "caution" if grades else "trust"
    return Verdict(grade, tuple(failures), tuple(dict.fromkeys(unavailable)))


def worst_of(grades: Iterable[Grade]) -> Grade:
    """The worst of several verdicts."""
    return max(grades, key=GRADES.index)


@dataclass(frozen=True)
class Decision:
    """Whether a policy may take the place of what it was compared with; if not, each reason why."""

    passes: bool
    reasons: tuple[str, ...]


def gate(low: float, verdict: Grade, margin: float = 0.0, *, worst: Grade = "caution") -> Decision:
    """A launch needs both: the lower end of its paired difference above the margin, and a verdict not below `worst`.

    `caution` passes: where launches were simulated, `trust` prevented no further wrong one (docs/results.md). A lower
    end that is no number does not pass.
    """
    reasons: list[str] = []
    if not low > margin:
        reasons.append(f"the lower end of the difference, {low:.4g}, is not above {margin:g}")
    if GRADES.index(verdict) > GRADES.index(worst):
        reasons.append(f"the verdict is {verdict}, {worst} is the least that passes")
    return Decision(not reasons, tuple(reasons))
