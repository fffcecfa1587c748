"""Grids: the report's tables as plain cells, each with the exact number that its text rounds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from tasks.report.glossary import HIGHER, LOWER, VERDICTS
from tasks.report.results import Results, representative
from tasks.report.series import shown_estimates
from tasks.report.wording import (
    ABSENT,
    direction,
    estimator_title,
    family,
    interval,
    main_comparisons,
    metric_title,
    number,
    ordered_metrics,
    percent,
    reading,
    rule_text,
    whole,
    worst_verdicts,
)

REACH = ("coverage", "gini", "popularity", "tail_share", "novelty", "diversity")
KINDS = {"greedy": "True value, greedy", "stochastic": "True value, sampled"}


@dataclass(frozen=True)
class Cell:
    """One table cell: text, a smaller line below it, the exact value that it sorts by, and a style."""

    text: str
    detail: str = ""
    value: float | str | None = None
    style: str = ""


@dataclass(frozen=True)
class Row:
    """A row: its header with a note, the cells, and full-width notes below."""

    name: str
    note: str
    cells: tuple[Cell, ...]
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table: caption, column titles, and groups of rows under an optional title. Sorting stays within a group."""

    anchor: str
    caption: str
    columns: tuple[str, ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    rows_are: str = "Policy"


def figure_cell(value: float | None, low: float | None, high: float | None, *, best: bool = False) -> Cell:
    """A value over its interval."""
    return Cell(number(value), interval(low, high), value, "best" if best else "")


def best_of(values: Iterable[float | None], way: int) -> float | None:
    """The best of some values; nothing where no way is better or only one value stands."""
    known = [value for value in values if value is not None]
    if way not in (HIGHER, LOWER) or len(known) < 2:
        return None
    return max(known) if way == HIGHER else min(known)


def heldout_grids(results: Results) -> list[Grid]:
    """Accuracy, then reach (coverage, Gini, popularity, tail), grouped by what each policy was fitted on."""
    metrics = ordered_metrics(results.heldout["metric"])
    accuracy = [metric for metric in metrics if family(metric) not in REACH]
    reach = [metric for metric in metrics if family(metric) in REACH]
    grids = (
        ("accuracy", "Accuracy on held-out interactions", accuracy),
        ("reach", "Reach: how wide and how popular the recommendations are", reach),
    )
    return [heldout_grid(results, *described) for described in grids if described[2]]


def heldout_grid(results: Results, anchor: str, caption: str, metrics: Sequence[str]) -> Grid:
    """Policies by metrics; the best of each group and column in bold."""
    frame = representative(results.heldout, "policy", "metric").filter(pl.col("metric").is_in(metrics))
    found = {
        (policy, metric): rest
        for policy, metric, *rest in frame.select("policy", "metric", "value", "low", "high").rows()
    }
    groups = []
    for fitted_on in frame["fitted_on"].unique(maintain_order=True):
        group = frame.filter(pl.col("fitted_on").eq_missing(fitted_on))
        policies = group["policy"].unique(maintain_order=True).to_list()
        best = {m: best_of((found[p, m][0] for p in policies if (p, m) in found), direction(m)) for m in metrics}
        rows = []
        for policy in policies:
            cells = []
            for metric in metrics:
                value, low, high = found.get((policy, metric), (None, None, None))
                cells.append(figure_cell(value, low, high, best=value is not None and value == best[metric]))
            rows.append(Row(results.described[policy][0], seed_note(results.heldout, "policy", policy), tuple(cells)))
        groups.append((f"Fitted on {fitted_on}" if fitted_on else "Not fitted", tuple(rows)))
    return Grid(anchor, caption, tuple(map(metric_title, metrics)), tuple(groups))


def seed_note(frame: pl.DataFrame, column: str, policy: str) -> str:
    """Which of a policy's rows is shown: the mean over its seeds, or one seed."""
    seeds = frame.filter(pl.col(column) == policy)["seed"].unique()
    known = seeds.drop_nulls().sort()
    if known.is_empty():
        return ""
    return f"mean of {len(known)} seeds" if seeds.has_nulls() else f"seed {known[0]} of {len(known)}"


def policy_grid(results: Results) -> Grid | None:
    """Counterfactual half: truth, estimates with intervals, effective sample size, largest weight and verdict."""
    shown = shown_estimates(results)
    by_target = shown.partition_by("target_policy", as_dict=True, maintain_order=True)
    policies = list(dict.fromkeys([*results.truth["policy"], *results.estimates["target_policy"]]))
    if not policies:
        return None
    estimators = shown["estimator"].unique(maintain_order=True).to_list()
    kinds = [kind for kind in KINDS if kind in results.truth["kind"]]
    if not kinds and results.simulated:
        kinds = ["stochastic"]
    verdicts, rows = worst_verdicts(results), []
    for policy in policies:
        own = by_target.get((policy,), shown.clear())
        seed = own["seed"][0] if len(own) else None
        cells = [truth_cell(results, policy, kind, seed, own) for kind in kinds]
        values = {name: rest for name, *rest in own.select("estimator", "value", "low", "high").rows()}
        cells += [figure_cell(*values.get(estimator, (None, None, None))) for estimator in estimators]
        cells += weight_cells(own) if len(results.estimates) else []
        verdict = verdicts.get(policy)
        if len(results.estimates):
            cells.append(Cell(VERDICTS[verdict], "", verdict, f"verdict {verdict}") if verdict else Cell(ABSENT))
        rules = tuple(dict.fromkeys(map(rule_text, own["failed_rules"].explode().drop_nulls())))
        note = seed_note(results.estimates, "target_policy", policy)
        rows.append(Row(results.name(policy), note, tuple(cells), rules))
    columns = [*(KINDS[kind] for kind in kinds), *map(estimator_title, estimators)]
    columns += ["ESS", "Largest weight", "Verdict"] if len(results.estimates) else []
    return Grid("policies", "Value of each policy, in clicks per slate", tuple(columns), (("", tuple(rows)),))


def truth_cell(results: Results, policy: str, kind: str, seed: int | None, own: pl.DataFrame) -> Cell:
    """The true value for the seed that the estimates are of; the estimates' own record where the table has none."""
    rows = results.truth.filter((pl.col("policy") == policy) & (pl.col("kind") == kind))
    same = rows.filter(pl.col("seed").eq_missing(seed))
    chosen = same if len(same) else representative(rows, "policy")
    if len(chosen):
        return figure_cell(*chosen.select("value", "low", "high").row(0))
    known = own["true_value"].drop_nulls()
    return figure_cell(known[0] if kind == "stochastic" and len(known) else None, None, None)


def weight_cells(own: pl.DataFrame) -> list[Cell]:
    """Effective sample size with its share, and the largest weight: the least favourable over the estimators."""
    worst = own.select(pl.min("ess", "ess_share"), pl.max("max_weight", "max_weight_share"))
    ess, share, largest, part = worst.row(0)
    return [
        Cell(whole(ess), percent(share) if share is not None else "", ess),
        Cell(number(largest), f"{percent(part)} of all" if part is not None else "", largest),
    ]


def reliability_grids(results: Results) -> list[Grid]:
    """Predicted and observed shares by predicted propensity, for each log whose propensities a model estimated."""
    grids = []
    for place, (log, told) in enumerate(results.summary.propensities.items()):
        rows = tuple(
            Row(
                f"{one['low']:g} to {one['high']:g}",
                "",
                (
                    *(Cell(f"{one[key]:.3g}", "", one[key]) for key in ("predicted", "observed")),
                    *(Cell(whole(one[key]), "", one[key]) for key in ("choices", "shown")),
                ),
            )
            for one in (told or {}).get("reliability", ())
        )
        if rows:
            caption = f"Reliability of the estimated propensities: {log[0].lower()}{log[1:]}"
            grids.append(Grid(f"reliability-{place}", caption, RELIABILITY, (("", rows),), "Estimate"))
    return grids


RELIABILITY = ("Predicted share", "Observed share", "Items offered", "Items shown")


def paired_grid(results: Results, half: str) -> Grid | None:
    """Paired differences of each compared policy against each reference, in one half."""
    frame = results.paired.filter(pl.col("half") == half)
    if frame.is_empty():
        return None
    metrics = ordered_metrics(frame["metric"])
    groups = []
    for (policy,), own in frame.partition_by("policy", as_dict=True, maintain_order=True).items():
        found = {(reference, metric): rest for reference, metric, *rest in own.select(*PAIR).rows()}
        rows = tuple(
            Row(
                results.name(ref),
                "",
                tuple(difference_cell(metric, *found.get((ref, metric), (None,) * 3)) for metric in metrics),
            )
            for ref in own["reference"].unique(maintain_order=True)
        )
        groups.append((f"{results.name(str(policy))} minus …", rows))
    level = f"{100 * results.summary.level:.0f} %"
    return Grid(
        f"paired-{half}", f"Paired differences, {level} intervals", tuple(map(metric_title, metrics)), tuple(groups)
    )


def glance_grid(results: Results) -> Grid | None:
    """The comparisons that decide: against the headline's reference and against what runs today, in both halves."""
    rows = []
    for reference, metric, half, difference, low, high in main_comparisons(results).select(*GLANCE).rows():
        note = "what runs today" if reference == results.summary.logging_policy else ""
        where = Cell("simulated feedback" if half == "simulated" else "held-out interactions")
        cells = (where, Cell(metric_title(metric)), difference_cell(metric, difference, low, high))
        rows.append(Row(f"against {results.name(reference)}", note, cells))
    columns = ("Measured on", "Metric", "Difference")
    return Grid("glance", "The comparisons that decide", columns, (("", tuple(rows)),), "Comparison") if rows else None


GLANCE = ("reference", "metric", "half", "difference", "low", "high")
PAIR = ("reference", "metric", "difference", "low", "high")


def difference_cell(metric: str, difference: float | None, low: float | None, high: float | None) -> Cell:
    """A signed difference over its interval and what that says."""
    if difference is None:
        return Cell(ABSENT)
    answer = reading(low, high, metric)
    detail = ", ".join(part for part in (interval(low, high, signed=True), answer) if part)
    return Cell(number(difference, signed=True), detail, difference, f"reading {answer.replace(' ', '-')}")


ENGINEER_COLUMNS = (
    *("Seed", "Estimator", "Value", "Standard error", "True value", "ESS", "Mean weight", "Largest weight"),
    *("Rows", "Users", "Interval method", "Verdict"),
)


def estimate_grid(results: Results) -> Grid | None:
    """Every estimate of every seed, with all that was recorded about it."""
    if results.estimates.is_empty():
        return None
    rows = []
    for one in results.estimates.iter_rows(named=True):
        how = " ".join(part for part in (one["method"], f"({one['validity']})" if one["validity"] else "") if part)
        cells = (
            Cell(ABSENT if one["seed"] is None else str(one["seed"]), "", one["seed"]),
            Cell(estimator_title(one["estimator"]), "", one["estimator"]),
            figure_cell(one["value"], one["low"], one["high"]),
            *(Cell(number(one[key]), "", one[key]) for key in ("standard_error", "true_value")),
            Cell(whole(one["ess"]), percent(one["ess_share"]) if one["ess_share"] is not None else "", one["ess"]),
            *(Cell(number(one[key]), "", one[key]) for key in ("mean_weight", "max_weight")),
            *(Cell(whole(one[key]), "", one[key]) for key in ("n", "n_clusters")),
            Cell(how or ABSENT, percent(one["level"]) if one["level"] else "", how),
            Cell(VERDICTS[one["verdict"]], "", one["verdict"], f"verdict {one['verdict']}"),
        )
        rows.append(Row(results.name(one["target_policy"]), "", cells))
    return Grid("estimates", "Every estimate of every seed", ENGINEER_COLUMNS, (("", tuple(rows)),))


def seed_grid(results: Results) -> Grid | None:
    """Held-out metrics of each seed, for the policies that were trained more than once."""
    seeded = results.heldout.filter(pl.col("seed").is_not_null())
    if seeded.is_empty():
        return None
    metrics = ordered_metrics(seeded["metric"])
    found = {(policy, seed, metric): rest for policy, seed, metric, *rest in seeded.select(*SEEDED).rows()}
    rows = tuple(
        Row(
            results.name(policy),
            f"seed {seed}",
            tuple(figure_cell(*found.get((policy, seed, metric), (None,) * 3)) for metric in metrics),
        )
        for policy, seed in seeded.select("policy", "seed").unique(maintain_order=True).rows()
    )
    return Grid("seeds", "Held-out metrics of each seed", tuple(map(metric_title, metrics)), (("", rows),))


SEEDED = ("policy", "seed", "metric", "value", "low", "high")
