"""Series: what each figure draws, taken from the results once for the interactive and the printed version."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, log10
from textwrap import wrap

import polars as pl

from tasks.report.glossary import CURVE_LINES, RULES_OF_CHOICE
from tasks.report.palette import COLOURS, colours
from tasks.report.results import Results, representative
from tasks.report.wording import family

GAP = 0.15  # of the finite λ's decades: from the last of them to the places of 0 and ∞ on a logarithmic axis
CLEAR = 1.5  # gaps between the label of an end and the next one
TOO_SMALL = 1e-3  # of the largest standard error of a curve: no bias or noise below it decides anything
LABEL_WIDTH = 22
PREFERRED_BASES = ("dr", "sndr", "snips", "ips")
LEARNING_PANELS = (
    ("pretrain", "train/loss", "Pretraining loss"),
    ("finetune", "reward/mean", "Mean reward of sampled slates"),
    ("finetune", "policy/kl_reference", "KL to the pretrained reference"),
    ("finetune", "policy/entropy", "Entropy of the policy"),
    ("finetune", "group/degenerate_share", "Degenerate groups (share)"),
    ("finetune", "policy/clip_share", "Clipped ratios (share)"),
    ("finetune", "select/dr_low", "Selection log: DR value and its lower bound"),
)


@dataclass(frozen=True)
class CapAxis:
    """Where the λ of a curve stand on an axis, with its ticks; 0 and ∞ get places beside the finite ones."""

    places: list[float]
    ticks: list[float]
    labels: list[str]
    logarithmic: bool

    @property
    def falling(self) -> bool:
        """Whether λ falls from the strongest transform, on the left, to the untouched weight, on the right."""
        return self.places[0] > self.places[-1]


def cap_axis(caps: Sequence[float], decades: int = 6) -> CapAxis:
    """A logarithmic axis for thresholds of weights, a linear one for exponents and shares between 0 and 1.

    At most so many `decades` are labelled.
    """
    finite = [cap for cap in caps if 0 < cap < inf]
    if inf not in caps and max(caps, default=0.0) <= 1:
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        return CapAxis(list(caps), ticks, [f"{tick:g}" for tick in ticks], logarithmic=False)
    least, most = min(finite, default=1.0), max(finite, default=1.0)
    gap = max(2.0, (most / least) ** GAP)
    ends = {0.0: least / gap, inf: most * gap}
    powers = range(ceil(log10(least)), floor(log10(most)) + 1)
    tens = [10.0**power for power in powers if power % ceil(len(powers) / decades) == 0]
    tens = [ten for ten in tens if ends[0.0] * gap**CLEAR < ten < ends[inf] / gap**CLEAR]
    ticks = [end for cap, end in ends.items() if cap in caps]
    labels = ["0" if cap == 0 else "∞" for cap in ends if cap in caps]
    return CapAxis([ends.get(cap, cap) for cap in caps], ticks + tens, labels + [f"{ten:g}" for ten in tens], True)


def cap_text(cap: float) -> str:
    """A λ in words."""
    return "∞" if cap == inf else f"{cap:.3g}"


def by_preference(base: str) -> int:
    """Where a base stands among those of its policy: the steadiest first."""
    return PREFERRED_BASES.index(base) if base in PREFERRED_BASES else len(PREFERRED_BASES)


def curves(results: Results) -> list[tuple[str, str, str]]:
    """Target, base and family of every weight-vs-bias curve; the one of the headline policy first."""
    headline = results.summary.headline
    found = results.curve.select("target_policy", "base", "family").unique(maintain_order=True).rows()
    policies = list(dict.fromkeys(target for target, _, _ in found))
    return sorted(
        found,
        key=lambda c: (headline is None or c[0] != headline.policy, policies.index(c[0]), by_preference(c[1])),
    )


def curve_of(results: Results, chosen: tuple[str, str, str]) -> pl.DataFrame:
    """One curve, from the strongest transform to the untouched weight, as the file has it."""
    target, base, kind = chosen
    wanted = (pl.col("target_policy") == target) & (pl.col("base") == base) & (pl.col("family") == kind)
    return results.curve.filter(wanted)


def curve_lines(curve: pl.DataFrame) -> list[tuple[str, str, str, list[float | None]]]:
    """Column, name, dash and sizes of the lines that a curve has, but for sizes too small to matter.

    On a logarithmic axis zeros have no place, and errors of rounding would take most of it.
    """
    least = TOO_SMALL * (curve.select(pl.col("se").max()).item() or 0.0)
    sizes = curve.select(
        pl.when(pl.col(column).abs() > least).then(pl.col(column).abs())
        for column in CURVE_LINES
        if column in curve.columns
    )
    return [
        (column, name, dash, sizes[column].to_list())
        for column, (name, dash) in CURVE_LINES.items()
        if column in sizes.columns and sizes[column].is_not_null().any()
    ]


def chosen_caps(curve: pl.DataFrame) -> list[tuple[str, str, int]]:
    """Name and dash of each rule that chose a λ of a curve, and the row of that λ."""
    return [
        (name, dash, row)
        for rule, (name, dash) in RULES_OF_CHOICE.items()
        for row in curve[f"selected_{rule}"].arg_true()
    ]


def shown_estimates(results: Results) -> pl.DataFrame:
    """One row per policy and estimator: of several seeds the representative, of several intervals the first."""
    rows = representative(results.estimates, "target_policy", "estimator")
    return rows.unique(["target_policy", "estimator"], keep="first", maintain_order=True)


@dataclass(frozen=True)
class Forest:
    """An interval forest: a line for each of `keys`, from the top, with its name and colour.

    `rows` holds key, estimator, value, low, high, and `mark`, where a bar stands that `marked` names.
    """

    keys: list[str]
    names: list[str]
    hues: list[str]
    estimators: list[str]
    rows: pl.DataFrame
    marked: str
    unit: str

    @property
    def marks(self) -> list[tuple[float, int]]:
        """Where bars stand: value and line."""
        known = self.rows.filter(pl.col("mark").is_not_null()).unique("key", maintain_order=True)
        return [(value, self.keys.index(key)) for key, value in known.select("key", "mark").rows()]


def forest_of(results: Results) -> Forest:
    """Policies with estimates, and the truth where it is known."""
    shown = shown_estimates(results).filter(pl.col("value").is_not_null())
    hue = colours(results)
    keys = shown["target_policy"].unique(maintain_order=True).to_list()
    return Forest(
        keys,
        [results.name(policy) for policy in keys],
        [hue[policy] for policy in keys],
        shown["estimator"].unique(maintain_order=True).to_list(),
        shown.select("estimator", "value", "low", "high", key="target_policy", mark="true_value"),
        "true value",
        results.summary.value_unit,
    )


def forest_of_parts(parts: pl.DataFrame, unit: str) -> Forest:
    """Parts of a log under one target policy, and what each earned as logged."""
    keys = parts["segment"].to_list()
    return Forest(
        keys,
        keys,
        [COLOURS[0]] * len(keys),
        parts["estimator"].unique(maintain_order=True).to_list(),
        parts.select("estimator", "value", "low", "high", key="segment", mark="logging_value"),
        "as logged",
        unit,
    )


def crowd_metrics(results: Results) -> tuple[str, str] | None:
    """The metrics of the popularity-vs-recall scatter: mean popularity and recall, at 10 where there is a choice."""
    metrics = sorted(results.heldout["metric"].unique(), key=lambda metric: (not metric.endswith("@10"), metric))
    popularity = [metric for metric in metrics if family(metric) == "popularity"]
    recall = [metric for metric in metrics if family(metric) == "recall"]
    return (popularity[0], recall[0]) if popularity and recall else None


def crowd_points(results: Results, popularity: str, recall: str) -> pl.DataFrame:
    """Policy, popularity, and recall with its interval."""
    shown = representative(results.heldout, "policy", "metric")
    across = shown.filter(pl.col("metric") == popularity).select("policy", popularity="value")
    up = shown.filter(pl.col("metric") == recall).select("policy", "low", "high", recall="value")
    return up.join(across, on="policy", how="inner", maintain_order="left")


def learning_panels(results: Results) -> list[tuple[str, str, str]]:
    """Stage, metric and title of the learning curves that were recorded."""
    recorded = set(results.training.select("stage", "metric").unique().rows())
    return [panel for panel in LEARNING_PANELS if panel[:2] in recorded]


def steps_of(results: Results, stage: str, metric: str) -> dict[int | None, pl.DataFrame]:
    """Step and value of one training metric, by seed."""
    own = results.training.filter(
        (pl.col("stage") == stage) & (pl.col("metric") == metric) & pl.col("value").is_not_null()
    )
    return {
        seed: own.filter(pl.col("seed").eq_missing(seed)).sort("step")
        for seed in own["seed"].unique(maintain_order=True).to_list()
    }


def chosen_steps(results: Results, metric: str) -> list[tuple[int, float]]:
    """Step and value of `metric` at the checkpoint that was kept, for each seed."""
    points = results.training.filter((pl.col("stage") == "finetune") & (pl.col("metric") == metric))
    kept = results.training.filter((pl.col("metric") == "select/chosen") & (pl.col("value") == 1)).select(
        "seed", "step"
    )
    joined = kept.join(points, on=["seed", "step"], nulls_equal=True, how="inner", maintain_order="left")
    return joined.select("step", "value").rows()


def lines_of(text: str, *, escape: bool = False) -> str:
    """A label broken into short lines; for plotly also escaped, because it reads labels as HTML."""
    lines = wrap(text, LABEL_WIDTH) or [""]
    return "<br>".join(html.escape(line) for line in lines) if escape else "\n".join(lines)
