"""Evaluation: everything said about one target policy on one log, and the records that are written down."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

import numpy as np
import polars as pl

from rlrec.ope.curve import curve as curve_of
from rlrec.ope.diagnostics import Diagnostics, diagnose
from rlrec.ope.estimators import UNTUNED, Estimate
from rlrec.ope.intervals import REPLICATES, Interval, bootstrap, clustered
from rlrec.ope.rounds import Rounds, over_positions
from rlrec.ope.selection import Rule, Selection, Verdict, decision_changes, judge, select
from rlrec.ope.statistics import Base, needs_model
from rlrec.ope.transforms import Family

ESTIMAND = "expected sum of rewards over the positions of a request"
REPORTED: tuple[Base, ...] = ("ips", "snips", "dr", "sndr")
RULES: tuple[Rule, ...] = ("mse_bound", "slope")


@dataclass(frozen=True)
class Record:
    """One estimate with one interval and what it takes to judge it; `note` says why a value is missing."""

    target_policy: str
    estimator: str
    value: float
    standard_error: float
    method: str
    level: float
    low: float
    high: float
    validity: str
    n: int
    n_clusters: int
    ess: float
    max_weight_share: float
    mean_weight: float
    verdict: str
    seed: int
    parameter: float | None = None
    rule: str | None = None
    estimand: str = ESTIMAND
    true_value: float | None = None
    input_digest: str | None = None
    code_version: str | None = None
    note: str | None = None

    def to_record(self) -> dict[str, object]:
        """For JSON and Parquet: what is not a finite number becomes null."""
        return finite_only(asdict(self))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Estimates, their records, diagnostics, curve, tuned parameters and verdict."""

    estimates: dict[str, Estimate]
    records: tuple[Record, ...]
    diagnostics: Diagnostics
    curve: pl.DataFrame
    selections: tuple[Selection, ...]
    verdict: Verdict
    logging_value: float
    notes: tuple[str, ...]

    def to_record(self) -> dict[str, object]:
        """Verdict, diagnostics and selections for JSON."""
        return {
            **self.verdict.to_record(),
            "logging_value": self.logging_value,
            "diagnostics": finite_only(asdict(self.diagnostics)),
            "selections": [finite_only(asdict(one)) for one in self.selections],
            "notes": list(self.notes),
        }


def evaluate(
    rounds: Rounds,
    *,
    target_policy: str = "target",
    truth: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = REPLICATES,
    families: Sequence[Family] = ("clip",),
    input_digest: str | None = None,
    code_version: str | None = None,
) -> Evaluation:
    """IPS and SNIPS, with a reward model also DR and SNDR; each with a closed-form and a bootstrap interval by user.

    `truth` is the target policy's value where a simulator knows it. The curve covers every reported base and each of
    `families`; the rules' choices are marked in it by the columns `selected_mse_bound` and `selected_slope`.
    """
    has_model = rounds.q_hat is not None
    bases: list[Base] = [base for base in REPORTED if has_model or not needs_model(base)]
    estimates = {base: UNTUNED[base](rounds) for base in bases}
    found = list(estimates.values())
    resampled = bootstrap(found, rounds, level, seed=seed, replicates=replicates)
    seen = diagnose(rounds, level)

    selections: list[Selection] = []
    parts: list[pl.DataFrame] = []
    for base in bases:
        for family in families:
            rows = curve_of(rounds, base, family, level=level, truth=truth)
            for rule in RULES:
                chosen = select(rows, rule)
                is_chosen = pl.lit(value=False) if chosen is None else pl.col("lambda") == chosen.parameter
                rows = rows.with_columns(is_chosen.alias(f"selected_{rule}"))
                selections += [] if chosen is None else [chosen]
            parts.append(rows)
    frame = pl.concat(parts)

    steady: Base = "sndr" if has_model else "snips"
    logging_value = float(over_positions(rounds.rewards).mean())
    deciding = frame.filter(pl.col("base") == steady, pl.col("family") == families[0])
    verdict = judge(seen, sign_change=decision_changes(deciding, logging_value))

    def record(one: Estimate, interval: Interval) -> Record:
        return Record(
            target_policy=target_policy,
            estimator=one.estimator,
            value=one.value,
            standard_error=interval.standard_error,
            method=interval.method,
            level=level,
            low=interval.low,
            high=interval.high,
            validity=interval.validity,
            n=len(rounds),
            n_clusters=rounds.clusters,
            ess=seen.effective_sample_size,
            max_weight_share=seen.max_row_share,
            mean_weight=seen.mean_weight,
            verdict=verdict.grade,
            seed=seed,
            parameter=one.parameter,
            true_value=truth,
            input_digest=input_digest,
            code_version=code_version,
        )

    records = [
        record(one, interval)
        for one, again in zip(found, resampled, strict=True)
        for interval in (clustered(one, rounds, level), again)
    ]
    if not has_model:
        gap = Interval("none", level, np.nan, np.nan, "asymptotic")
        why = "skipped: the targets have no columns q_hat and q_hat_target"
        for base in filter(needs_model, REPORTED):
            absent = Estimate(base, base, np.nan, np.nan, np.empty(0))
            records.append(replace(record(absent, gap), note=why))
    return Evaluation(estimates, tuple(records), seen, frame, tuple(selections), verdict, logging_value, rounds.notes)


def finite_only(record: dict[str, object]) -> dict[str, object]:
    """The same record with null for every number that is not finite, also inside tuples."""
    return {name: finite_or_null(value) for name, value in record.items()}


def finite_or_null(value: object) -> object:
    """One value of a record."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, (tuple, list)):
        return [finite_or_null(item) for item in cast("Sequence[object]", value)]
    return value
