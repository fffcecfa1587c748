"""Series: what each figure draws, taken from the results once for the interactive and the printed version."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, log10
from textwrap import wrap

import polars as pl

from tasks.report.results import Results, representative
from tasks.report.wording import family, number

GAP = 2.0  # factor between the last finite cap and the places of 0 and ∞ on a logarithmic axis
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
    """Where the caps λ stand on an axis, with its ticks; 0 and ∞ get places beside the finite ones."""

    places: list[float]
    ticks: list[float]
    labels: list[str]
    logarithmic: bool


def cap_axis(caps: Sequence[float]) -> CapAxis:
    """A logarithmic axis for caps on weights, a linear one for shares between 0 and 1."""
    finite = [cap for cap in caps if 0 < cap < inf]
    if inf not in caps and max(caps, default=0.0) <= 1:
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        return CapAxis(list(caps), ticks, [f"{tick:g}" for tick in ticks], logarithmic=False)
    least, most = min(finite, default=1.0), max(finite, default=1.0)
    ends = {0.0: least / GAP, inf: most * GAP}
    decades = [10.0**power for power in range(ceil(log10(least)), floor(log10(most)) + 1)]
    ticks = [end for cap, end in ends.items() if cap in caps]
    labels = ["0" if cap == 0 else "∞" for cap in ends if cap in caps]
    return CapAxis([ends.get(cap, cap) for cap in caps], ticks + decades, labels + [f"{d:g}" for d in decades], True)


def cap_text(cap: float) -> str:
    """A cap in words."""
    return "∞ (no cap)" if cap == inf else number(cap)


def curves(results: Results) -> list[tuple[str, str, str]]:
    """Target, base and family of every weight-vs-bias curve; the one of the headline policy first."""
    headline = results.summary.headline
    found = results.curve.select("target_policy", "base", "family").unique(maintain_order=True).rows()
    bases = {base: place for place, base in enumerate(PREFERRED_BASES)}
    return sorted(found, key=lambda c: (headline is None or c[0] != headline.policy, bases.get(c[1], len(bases))))


def curve_of(results: Results, chosen: tuple[str, str, str]) -> pl.DataFrame:
    """One curve, by rising λ."""
    target, base, kind = chosen
    wanted = (pl.col("target_policy") == target) & (pl.col("base") == base) & (pl.col("family") == kind)
    return results.curve.filter(wanted).sort("lambda")


def shown_estimates(results: Results) -> pl.DataFrame:
    """One row per policy and estimator: of several seeds the representative, of several intervals the first."""
    rows = representative(results.estimates, "target_policy", "estimator")
    return rows.unique(["target_policy", "estimator"], keep="first", maintain_order=True)


def forest_rows(results: Results) -> tuple[list[str], list[str], pl.DataFrame]:
    """Policies with estimates, estimators, and the rows to draw."""
    shown = shown_estimates(results).filter(pl.col("value").is_not_null())
    return (
        shown["target_policy"].unique(maintain_order=True).to_list(),
        shown["estimator"].unique(maintain_order=True).to_list(),
        shown,
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
