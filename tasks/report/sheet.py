"""The sheet: one self-contained page on what `rlrec ope` found in a log."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from tasks.provenance import propensity_sentence
from tasks.report.exhibits import Exhibit, exhibits, plotly_bundle
from tasks.report.glossary import COLUMNS, ESTIMATORS, VERDICTS
from tasks.report.grids import Cell, Grid, Row, figure_cell
from tasks.report.page import templates
from tasks.report.results import CURVE, ESTIMATES, HELDOUT, PAIRED, TRAINING, TRUTH, Results, Summary
from tasks.report.wording import estimator_title, number, percent, rule_text, whole

SEVERITY = ("no_support", "caution", "trust")
TONES = {"trust": "good", "caution": "open", "no_support": "bad"}
MEANINGS = {
    "trust": "No rule failed. That is not a proof, but nothing in the log speaks against these estimates.",
    "caution": "Read the failed rules before you decide anything on these estimates.",
    "no_support": "Do not decide from this log.",
}
DIAGNOSTICS = {
    "effective_sample_size": "Effective sample size, rows",
    "effective_share": "… as a share of all rows",
    "mean_weight": "Mean weight (should be 1)",
    "max_weight": "Largest weight",
    "max_row_share": "Share of all weight on one row",
    "max_cluster_share": "Share of all weight on one cluster",
    "missing_mass": "Share of the policy that the log never shows",
    "k_hat": "Tail index of the weights (k-hat)",
    "overlap": "Overlap of the two policies",
}
EXPLAINED = ("ESS", "Largest weight", "Verdict", "λ", "Bias bound")


def sheet(told: Mapping[str, Any], diagnostics: Mapping[str, Any], curve: pl.DataFrame, compared: pl.DataFrame) -> str:
    """The page, from what `estimates.json`, `diagnostics.json`, `curve.parquet` and `comparison.parquet` hold."""
    grades = {policy: one["verdict"] for policy, one in diagnostics.items()}
    shown = figures(told, curve)
    return templates().get_template("sheet.html").render(
        tone=TONES[min(grades.values(), key=SEVERITY.index)],
        unit=told["per"],
        estimand=told["estimand"],
        level=f"{100 * told['level']:g} %",
        verdicts=[(policy, VERDICTS[grade], MEANINGS[grade]) for policy, grade in grades.items()],
        tables=[
            estimate_grid(told, diagnostics),
            further_grid(told),
            difference_grid(compared, told["per"]),
            rule_grid(diagnostics),
            diagnostic_grid(diagnostics),
        ],
        skipped=told["skipped"],
        notes=[(policy, note) for policy, one in diagnostics.items() for note in one["notes"]],
        unavailable=[
            (policy, [rule_text(rule) for rule in one["unavailable"]])
            for policy, one in diagnostics.items()
            if one["unavailable"]
        ],
        exhibits=shown,
        facts=[
            ("Estimand", told["estimand"]),
            ("Propensities", propensity_sentence(next(iter(diagnostics.values()))["propensities"])),
            ("Seed", str(told["seed"])),
            ("Inputs, SHA-256", told["input_digest"] or "not known"),
            ("rlrec", told["code_version"] or "not installed as a package"),
        ],
        glossary=[(term, COLUMNS[term]) for term in EXPLAINED] + list(ESTIMATORS.values()),
        bundle=Markup(plotly_bundle()),
    )  # fmt: skip


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
    """Each policy's estimates with their closed-form intervals; the log's own mean first."""
    rows = [
        (
            policy,
            Row(
                "The log itself",
                "mean of what it earned",
                (figure_cell(one["logging_value"], None, None), *[Cell("")] * 5),
            ),
        )
        for policy, one in diagnostics.items()
    ]
    for one in told["estimates"]:
        cells = (
            figure_cell(one["value"], one["low"], one["high"]),
            Cell(number(one["se"]), "", one["se"]),
            Cell(one["interval"].replace("_", " "), one["validity"], one["interval"]),
            Cell(whole(one["n"]), f"{whole(one['n_clusters'])} clusters", one["n"]),
            Cell(whole(one["ess"]), "", one["ess"]),
            Cell(number(one["mean_weight"]), f"largest {number(one['max_weight'])}", one["mean_weight"]),
        )
        rows.append((one["target_policy"], Row(named(one), "", cells)))
    columns = ("Value", "Standard error", "Interval", f"{told['per'].title()}s", "ESS", "Mean weight")
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
                    Cell(other["interval"].replace("_", " "), other["validity"], other["interval"]),
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


def difference_grid(compared: pl.DataFrame, unit: str) -> Grid:
    """How much more than the log each policy earns; these intervals hold for all policies at once."""
    rows = tuple(
        Row(
            one["target_policy"],
            "",
            (figure_cell(one["value"], one["low"], one["high"]), Cell(estimator_title(one["estimator"]))),
        )
        for one in compared.filter(pl.col("reference").is_not_null()).iter_rows(named=True)
    )
    return Grid("differences", f"More than the log earned, per {unit}", ("Difference", "By"), (("", rows),))


def rule_grid(diagnostics: Mapping[str, Any]) -> Grid:
    """The rules of the verdict that failed."""
    rows = [
        (
            policy,
            Row(
                rule_text(failed["rule"]),
                "",
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
    """The diagnostics of each policy."""
    shares = ("effective_share", "max_row_share", "max_cluster_share", "missing_mass")
    rows = tuple(
        Row(
            title,
            "",
            tuple(
                Cell(percent(value) if name in shares else number(value), "", value)
                for value in (one["diagnostics"][name] for one in diagnostics.values())
            ),
        )
        for name, title in DIAGNOSTICS.items()
    )
    return Grid("diagnostics", "Weights", tuple(diagnostics), (("", rows),), "Diagnostic")


def keyed(one: Mapping[str, Any]) -> str:
    """An estimator with its parameter, as `--estimator` names it."""
    return one["estimator"] if one["parameter"] is None else f"{one['estimator']}@{one['parameter']:g}"


def named(one: Mapping[str, Any]) -> str:
    """What to call an estimator."""
    return estimator_title(keyed(one)).replace("_", " ")
