"""The sheet: one self-contained page on what `rlrec ope` found in a log."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from markupsafe import Markup

from tasks.provenance import propensity_sentence
from tasks.report.answers import answer_grid, answers, gate_lines, headline, next_steps, said_once, tone
from tasks.report.exhibits import Exhibit, exhibits, plotly_bundle, segments
from tasks.report.glossary import COLUMNS, ESTIMATORS, INTERVALS, VALIDITY
from tasks.report.page import templates
from tasks.report.results import CURVE, ESTIMATES, HELDOUT, PAIRED, TRAINING, TRUTH, Results, Summary
from tasks.report.sheetgrids import (
    diagnostic_grid,
    estimate_grid,
    further_grid,
    keyed,
    largest_parts,
    part_grid,
    plan_grid,
    rule_grid,
)
from tasks.report.wording import rule_text

EXPLAINED = (
    "Difference", "ESS", "Largest weight", "Verdict", "λ", "Bias bound", "Shift on this log",
    "MSE bound, SLOPE, SLOPE++",
)  # fmt: skip


@dataclass(frozen=True)
class Sheet:
    """The page, and the picture of the curve that stands in it."""

    page: str
    curve: bytes


def sheet(
    told: Mapping[str, Any],
    diagnostics: Mapping[str, Any],
    curve: pl.DataFrame,
    compared: pl.DataFrame,
    parts: pl.DataFrame | None = None,
    *,
    by: str | None = None,
    half_width: float | None = None,
    command: str = "",
    decided: Mapping[str, Any] = MappingProxyType({}),
) -> Sheet:
    """The page, from what `estimates.json`, `diagnostics.json`, the curve, the comparison and the segments hold.

    `parts` are those of the column `by`; `half_width` is what a plan in `diagnostics` is for; `decided` is
    `decision.json`.
    """
    level, unit = f"{100 * told['level']:g} %", told["per"]
    policies, seen = len(diagnostics), diagnostics.items()
    found = answers(diagnostics, compared)
    largest = {} if parts is None else largest_parts(parts)
    shown = figures(told, curve)
    if largest:
        shown["segments"] = segments(largest, f"reward per {unit}", level)
    bounded = bool(curve["bias_bound"].is_not_null().any())
    page = templates().get_template("sheet.html").render(
        tone=tone(found),
        headline=headline(found, unit, level),
        estimand=told["estimand"],
        level=level,
        policies=policies,
        steps=next_steps(found, diagnostics, has_range=bounded, has_plan=half_width is not None),
        answers=answer_grid(found, unit),
        gate=gate_lines(decided),
        estimates=estimate_grid(told, diagnostics),
        further=further_grid(told),
        rules=rule_grid(diagnostics),
        weights=diagnostic_grid(diagnostics),
        parts=[part_grid(largest, by)] if largest else [],
        plan=[] if half_width is None else [plan_grid(diagnostics, half_width, unit, level)],
        skipped=said_once(
            [(one["target_policy"], f"{one['estimator'].upper()} {one['reason']}") for one in told["skipped"]], policies
        ),
        notes=said_once(
            [
                *((policy, f"Not judged: {rule_text(rule)}") for policy, one in seen for rule in one["unavailable"]),
                *((policy, f"{note[0].upper()}{note[1:]}") for policy, one in seen for note in one["notes"]),
            ],
            policies,
        ),
        bounded=bounded,
        exhibits=shown,
        facts=[
            ("Estimand", told["estimand"]),
            ("Propensities", propensity_sentence(next(iter(diagnostics.values()))["propensities"])),
            ("Intervals", f"at {level}; seed {told['seed']} where resampled"),
            ("Inputs, SHA-256", told["input_digest"] or "not known"),
            ("rlrec", told["code_version"] or "not installed as a package"),
        ],
        command=command,
        glossary=glossary(told),
        bundle=Markup(plotly_bundle()),
    )  # fmt: skip
    return Sheet(page, shown["weight_curve"].image)


def glossary(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A line for each estimator, interval and validity that the page holds, and for its other terms.

    Rules and diagnostics are explained where they stand.
    """
    stems = dict.fromkeys(one["estimator"] for one in told["estimates"])
    both = [one for first in told["estimates"] for one in (first, *first["further"])]
    methods = dict.fromkeys(one["interval"] for one in both)
    validities = dict.fromkeys(one["validity"] for one in both)
    return [
        *(ESTIMATORS[stem] for stem in stems if stem in ESTIMATORS),
        *(INTERVALS[method] for method in methods if method in INTERVALS and method not in stems),
        *((kind.capitalize(), VALIDITY[kind]) for kind in validities if kind in VALIDITY),
        *((term, COLUMNS[term]) for term in EXPLAINED),
    ]


def figures(told: Mapping[str, Any], curve: pl.DataFrame) -> dict[str, Exhibit]:
    """The forest of the estimates, and the clip curves, as the report draws them."""
    columns = {**ESTIMATES.columns, **ESTIMATES.optional}
    names = {"standard_error": "se", "method": "interval", "label": "target_policy"}
    rows = [
        {name: one.get(names.get(name, name)) for name in columns} | {"level": told["level"], "estimator": keyed(one)}
        for one in told["estimates"]
    ]
    shown = curve.with_columns(label="target_policy")
    empty = {table.name: pl.DataFrame(schema=dict(table.columns)) for table in (HELDOUT, PAIRED, TRUTH, TRAINING)}
    summary = Summary(
        dataset="", headline=None, counts={}, seeds=[], git_commit="", started_at="", seconds={},
        value_unit=f"reward per {told['per']}",
    )  # fmt: skip
    return exhibits(
        Results(
            folder=Path(),
            summary=summary,
            estimates=pl.DataFrame(rows, schema=columns),
            curve=shown.select(*CURVE.columns, *CURVE.optional),
            **empty,
        )
    )
