"""Images: the printed figures, in matplotlib. They go to MLflow, to paper, and to readers without scripts."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.report.palette import DASHES, LEARNED, MARKERS, NEUTRAL, STROKES, colours, symbol_of, symbols
from tasks.report.results import Results
from tasks.report.series import (
    cap_axis,
    cap_text,
    chosen_steps,
    crowd_metrics,
    crowd_points,
    curve_of,
    forest_rows,
    learning_panels,
    lines_of,
    steps_of,
)
from tasks.report.wording import estimator_title, metric_title

WIDTH = 8.0  # inches
DPI = 144
INK = "#1b1f24"
SPREAD = 0.6
STYLE: dict[Any, Any] = {  # matplotlib types the keys as a literal of all its names
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.edgecolor": "#8a9099",
    "grid.color": "#e3e6ea",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
    "axes.unicode_minus": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """The report's matplotlib style, for as long as a figure is built and saved."""
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE, "backend": mpl.rcParams["backend"]}):
        yield


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def reach(value: float, low: float | None, high: float | None) -> list[list[float]]:
    """Matplotlib's error bar from the ends of an interval; nothing where an end is unknown."""
    return [[0.0 if low is None else value - low], [0.0 if high is None else high - value]]


def forest(results: Results) -> bytes:
    """Estimates per policy and estimator with intervals, and a bar where the truth is."""
    policies, estimators, rows = forest_rows(results)
    hue = colours(results)
    drop = SPREAD / max(1, len(estimators))
    with styled():
        figure = Figure(figsize=(WIDTH, 1.0 + 0.62 * len(policies)), layout="constrained")
        axes = figure.subplots()
        for one in rows.iter_rows(named=True):
            place = policies.index(one["target_policy"])
            below = place + drop * (estimators.index(one["estimator"]) - (len(estimators) - 1) / 2)
            axes.errorbar(
                [one["value"]],
                [below],
                xerr=reach(one["value"], one["low"], one["high"]),
                fmt=MARKERS[symbol_of(one["estimator"])],
                color=hue[one["target_policy"]],
                markersize=5,
                capsize=2.5,
                elinewidth=1.3,
            )
        for estimator in estimators:
            mark = MARKERS[symbol_of(estimator)]
            axes.plot([], [], linestyle="", marker=mark, color=NEUTRAL, label=estimator_title(estimator))
        known = rows.filter(rows["true_value"].is_not_null()).unique("target_policy", maintain_order=True)
        for place, (policy, value) in enumerate(known.select("target_policy", "true_value").rows()):
            row, half = policies.index(policy), SPREAD / 2 + drop / 4
            axes.plot([value] * 2, [row - half, row + half], color=INK, lw=1.8, label="" if place else "true value")
        axes.set_yticks(range(len(policies)), [lines_of(results.name(policy)) for policy in policies])
        axes.set_ylim(len(policies) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(results.summary.value_unit)
        figure.legend(loc="outside upper center", ncols=len(estimators) + 1)
        return png(figure)


def weight_curve(results: Results, chosen: tuple[str, str, str]) -> bytes:
    """Above: bias bound, standard error and true bias against the cap λ. Below: the estimate with its interval."""
    frame = curve_of(results, chosen)
    axis = cap_axis(frame["lambda"].to_list())
    hue = colours(results).get(chosen[0], LEARNED)
    with styled():
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
        lines = [
            ("bias_bound", "bias bound", "-", hue),
            ("se", "standard error", "--", hue),
            ("true_bias", "true bias", ":", INK),
        ]
        for column, name, stroke, colour in lines:
            if frame[column].is_not_null().any():
                sizes = [size or float("nan") for size in frame[column].abs().fill_null(0.0)]
                above.plot(axis.places, sizes, stroke, color=colour, label=name, lw=1.7)
        ends = [frame[column].fill_null(float("nan")).to_list() for column in ("ci_low", "ci_high")]
        below.fill_between(axis.places, *ends, color=hue, alpha=0.25, linewidth=0)
        below.plot(axis.places, frame["value"].fill_null(float("nan")).to_list(), color=hue, lw=1.7)
        for place, cap, selected in zip(axis.places, frame["lambda"], frame["selected"], strict=True):
            if selected:
                for axes in (above, below):
                    axes.axvline(place, color=NEUTRAL, lw=1.2, ls="--", label=f"chosen λ = {cap_text(cap)}")
        above.set_yscale("log")
        above.yaxis.set_major_formatter("{x:g}")
        if axis.logarithmic:
            below.set_xscale("log")
        below.set_xticks(axis.ticks, axis.labels)
        below.minorticks_off()
        above.set_ylabel("error")
        below.set_ylabel("estimate")
        below.set_xlabel("cap λ on the weights")
        handles, names = above.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=4)
        return png(figure)


def popularity_recall(results: Results) -> bytes | None:
    """Recall against how popular the recommended items are."""
    metrics = crowd_metrics(results)
    if metrics is None:
        return None
    hue, mark = colours(results), symbols(results)
    with styled():
        figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        for policy, low, high, recall, popularity in crowd_points(results, *metrics).rows():
            axes.errorbar(
                [popularity],
                [recall],
                yerr=reach(recall, low, high),
                fmt=MARKERS[mark[policy]],
                color=hue[policy],
                markersize=7,
                capsize=2.5,
                elinewidth=1.2,
                label=results.name(policy),
            )
        axes.set_xlabel(metric_title(metrics[0]))
        axes.set_ylabel(metric_title(metrics[1]))
        figure.legend(loc="outside right upper")
        return png(figure)


def learning_curves(results: Results) -> bytes:
    """Every recorded training metric against the step, a line per seed; the kept checkpoint is a star."""
    panels = learning_panels(results)
    columns = min(2, len(panels))
    with styled():
        count = ceil(len(panels) / columns)
        figure = Figure(figsize=(WIDTH, 2.1 * count), layout="constrained")
        grid = list(figure.subplots(count, columns, squeeze=False).flat)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        for axes, (stage, metric, title) in zip(grid, panels, strict=False):
            draw_learning(axes, results, stage, metric)
            axes.set_title(title, fontsize=9, loc="left")
        return png(figure)


def draw_learning(axes: Axes, results: Results, stage: str, metric: str) -> None:
    """One panel of the learning curves."""
    colour = LEARNED if stage == "finetune" else NEUTRAL
    selection = metric == "select/dr_low"
    for place, (seed, frame) in enumerate(steps_of(results, stage, metric).items()):
        stroke = STROKES[DASHES[place % len(DASHES)]]
        name = "all" if seed is None else f"seed {seed}"
        axes.plot(frame["step"], frame["value"], color=colour, linestyle=stroke, lw=1.1, label=name)
    if selection:
        for frame in steps_of(results, stage, "select/dr_value").values():
            axes.plot(frame["step"], frame["value"], color=NEUTRAL, lw=0.9)
        kept = chosen_steps(results, metric)
        axes.plot([s for s, _ in kept], [v for _, v in kept], "*", color=INK, markersize=9, label="kept")
    axes.legend(fontsize=7)
    axes.set_xlabel("step", fontsize=8)
