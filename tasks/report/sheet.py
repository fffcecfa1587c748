"""The sheet: one self-contained page on what `rlrec ope` found in a log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from tasks.provenance import propensity_sentence
from tasks.report.answers import answer_grid, answers, headline, next_steps, tone
from tasks.report.exhibits import Exhibit, exhibits, plotly_bundle, segments
from tasks.report.glossary import COLUMNS, ESTIMATORS, INTERVALS, RULE_NOTES, VALIDITY, VERDICTS
from tasks.report.grids import Cell, Grid, Row, figure_cell
from tasks.report.page import templates
from tasks.report.results import CURVE, ESTIMATES, HELDOUT, PAIRED, TRAINING, TRUTH, Results, Summary
from tasks.report.wording import estimator_title, number, percent, rule_text, whole

DIAGNOSTICS = {  # how each is called, and what it says
    "effective_sample_size": ("Effective sample size, rows", "how many equally weighted rows the log is worth"),
    "effective_share": ("… as a share of all rows", "small where the two policies are far apart"),
    "mean_weight": ("Mean weight", "1 where both probabilities are right and nothing is missing"),
    "max_weight": ("Largest weight", "target probability over propensity"),
    "max_row_share": ("Share of all weight on one row", "large where one row decides"),
    "max_cluster_share": ("Share of all weight on one cluster", "large where one user decides"),
    "missing_mass": ("Share of the policy that the log never shows", "1 minus the mean weight, at least 0"),
    "k_hat": ("Tail index of the weights (k-hat)", "over 0.7 the standard error itself is unreliable"),
    "overlap": ("Overlap of the two policies", "1 where they are the same, 0 where they share nothing"),
    "variance_ratio": ("Variance of DR over that of IPS", "below 1 where the reward model helps"),
}
SHARES = ("effective_share", "max_row_share", "max_cluster_share", "missing_mass")
MOST_PARTS = 12  # that are shown of each policy
EXPLAINED = (
    "Difference", "ESS", "Largest weight", "Verdict", "λ", "Bias bound", "Shift on this log", "MSE bound, SLOPE",
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
) -> Sheet:
    """The page, from what `estimates.json`, `diagnostics.json`, the curve, the comparison and the segments hold.

    `parts` are those of the column `by`; `half_width` is what a plan in `diagnostics` is for.
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


def said_once(notes: Iterable[tuple[str, str]], policies: int) -> list[str]:
    """Notes on policies, each once, with the policies that it is about unless it is about all."""
    found: dict[str, list[str]] = {}
    for policy, text in notes:
        found.setdefault(text, []).append(policy)
    return [text if len(about) == policies else f"{', '.join(about)}: {text}" for text, about in found.items()]


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


def by_policy(rows: Sequence[tuple[str, Row]]) -> tuple[tuple[str, tuple[Row, ...]], ...]:
    """Rows in groups of their policy."""
    return tuple(
        (policy, tuple(row for own, row in rows if own == policy)) for policy in dict.fromkeys(p for p, _ in rows)
    )


def estimate_grid(told: Mapping[str, Any], diagnostics: Mapping[str, Any]) -> Grid:
    """Each policy's estimates with their closed-form intervals, under what its weights are worth."""
    titles = {
        policy: f"{policy}: effective sample size {whole(seen['effective_sample_size'])} of {whole(seen['rows'])} "
        f"rows, largest weight {number(seen['max_weight'])}"
        for policy, seen in ((policy, one["diagnostics"]) for policy, one in diagnostics.items())
    }
    rows = [
        (
            titles[one["target_policy"]],
            Row(
                named(one),
                "",
                (
                    figure_cell(one["value"], one["low"], one["high"]),
                    Cell(number(one["se"]), "", one["se"]),
                    Cell(interval_title(one["interval"]), one["validity"], one["interval"]),
                    Cell(whole(one["n"]), f"{whole(one['n_clusters'])} clusters", one["n"]),
                ),
            ),
        )
        for one in told["estimates"]
    ]
    columns = ("Value", "Standard error", "Interval", f"{told['per'].title()}s")
    return Grid("estimates", f"Value of each policy: {told['estimand']}", columns, by_policy(rows), "Estimator")


def further_grid(told: Mapping[str, Any]) -> Grid:
    """The further intervals of each estimate."""
    rows = [
        (
            one["target_policy"],
            Row(
                named(one),
                "",
                (
                    Cell(interval_title(other["interval"]), other["validity"], other["interval"]),
                    *(Cell(number(other[name]), "", other[name]) for name in ("low", "high", "se")),
                ),
            ),
        )
        for one in told["estimates"]
        for other in one["further"]
    ]
    return Grid(
        "further", "Further intervals", ("Interval", "From", "To", "Standard error"), by_policy(rows), "Estimator"
    )


def largest_parts(parts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The largest parts of the log for each policy."""
    return {
        policy: parts.filter(pl.col("target_policy") == policy)
        .sort("n", descending=True, maintain_order=True)
        .head(MOST_PARTS)
        for policy in parts["target_policy"].unique(maintain_order=True)
    }


def part_grid(parts: Mapping[str, pl.DataFrame], by: str | None) -> Grid:
    """What each part of the log earned, and would earn with the policy."""
    rows = [
        (
            policy,
            Row(
                one["segment"],
                "",
                (
                    Cell(number(one["logging_value"]), "", one["logging_value"]),
                    figure_cell(one["value"], one["low"], one["high"]),
                    Cell(whole(one["n"]), f"{whole(one['n_clusters'])} clusters", one["n"]),
                    Cell(whole(one["ess"]), "", one["ess"]),
                ),
            ),
        )
        for policy, frame in parts.items()
        for one in frame.iter_rows(named=True)
    ]
    return Grid(
        "parts",
        f"The largest parts by {by}",
        ("As logged", "With the policy", "Size", "ESS"),
        by_policy(rows),
        by or "",
    )


def plan_grid(diagnostics: Mapping[str, Any], half_width: float, unit: str, level: str) -> Grid:
    """How large the next log must be, by the share of it that the policy serves."""
    rows = [
        (
            policy,
            Row(
                "Served as now" if one["exploration"] == 0 else f"{percent(one['exploration'])} served by the policy",
                "",
                (
                    Cell(whole(one["requests"]), "", one["requests"]),
                    Cell(whole(one["users"]), "", one["users"]),
                ),
            ),
        )
        for policy, seen in diagnostics.items()
        for one in seen.get("plan", ())
    ]
    caption = f"For a {level} interval of ± {half_width:g} by IPS"
    return Grid("plan", caption, (f"{unit.title()}s needed", "Clusters"), by_policy(rows), "The next log")


def rule_grid(diagnostics: Mapping[str, Any]) -> Grid:
    """The rules of the verdict that failed."""
    rows = [
        (
            policy,
            Row(
                rule_text(failed["rule"]),
                RULE_NOTES.get(failed["rule"], ("",))[0],
                (
                    Cell(VERDICTS[failed["grade"]], "", failed["grade"], f"verdict {failed['grade']}"),
                    *(Cell(number(failed[name]), "", failed[name]) for name in ("value", "limit")),
                ),
            ),
        )
        for policy, one in diagnostics.items()
        for failed in one["failed"]
    ]
    return Grid("rules", "Rules that failed", ("Grade", "Value", "Limit"), by_policy(rows), "Rule")


def diagnostic_grid(diagnostics: Mapping[str, Any]) -> Grid:
    """The diagnostics of each policy, each with what it says."""
    rows = tuple(
        Row(
            title,
            meaning,
            tuple(
                Cell(percent(value) if name in SHARES else number(value), "", value)
                for value in (one["diagnostics"][name] for one in diagnostics.values())
            ),
        )
        for name, (title, meaning) in DIAGNOSTICS.items()
    )
    return Grid("diagnostics", "Weights", tuple(diagnostics), (("", rows),), "Diagnostic")


def interval_title(method: str) -> str:
    """What to call an interval."""
    return INTERVALS[method][0] if method in INTERVALS else method.replace("_", " ")


def keyed(one: Mapping[str, Any]) -> str:
    """An estimator with its parameter, as `--estimator` names it."""
    return one["estimator"] if one["parameter"] is None else f"{one['estimator']}@{one['parameter']:g}"


def named(one: Mapping[str, Any]) -> str:
    """What to call an estimator."""
    return estimator_title(keyed(one)).replace("_", " ")
