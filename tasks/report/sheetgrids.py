"""Grids of the sheet: what each table of the page of `rlrec ope` holds."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from tasks.report.glossary import INTERVALS, RULE_NOTES, VERDICTS
from tasks.report.grids import Cell, Grid, Row, figure_cell
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
