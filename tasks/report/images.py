"""Images: the printed figures, in matplotlib. They go to MLflow, to paper, and to readers without scripts."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, nan
from pathlib import Path
from typing import Any

import matplotlib as mpl
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tasks.report.palette import DASHES, LEARNED, MARKERS, NEUTRAL, STROKES, colours, symbol_of, symbols
from tasks.report.results import Results
from tasks.report.series import (
    Forest,
    by_preference,
    cap_axis,
    chosen_caps,
    chosen_steps,
    crowd_metrics,
    crowd_points,
    curve_lines,
    learning_panels,
    lines_of,
    steps_of,
)
from tasks.report.wording import estimator_title, family_title, metric_title

WIDTH = 8.0  # inches
PANEL, LABELS, HEAD, FOOT, GUTTER = 1.75, 0.75, 0.65, 0.5, 0.1  # inches, of a grid of panels
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


def forest(shown: Forest) -> bytes:
    """Estimates with intervals, a symbol per estimator, and a bar where a mark stands."""
    estimators, lines = shown.estimators, len(shown.keys)
    drop = SPREAD / max(1, len(estimators))
    with styled():
        figure = Figure(figsize=(WIDTH, 1.0 + (0.2 + 0.1 * len(estimators)) * lines), layout="constrained")
        axes = figure.subplots()
        for one in shown.rows.iter_rows(named=True):
            place = shown.keys.index(one["key"])
            below = place + drop * (estimators.index(one["estimator"]) - (len(estimators) - 1) / 2)
            axes.errorbar(
                [one["value"]],
                [below],
                xerr=reach(one["value"], one["low"], one["high"]),
                fmt=MARKERS[symbol_of(one["estimator"])],
                color=shown.hues[place],
                markersize=5,
                capsize=2.5,
                elinewidth=1.3,
            )
        for estimator in estimators:
            mark = MARKERS[symbol_of(estimator)]
            axes.plot([], [], linestyle="", marker=mark, color=NEUTRAL, label=estimator_title(estimator))
        half = SPREAD / 2 + drop / 4
        for count, (value, place) in enumerate(shown.marks):
            label = "" if count else shown.marked
            axes.plot([value] * 2, [place - half, place + half], color=INK, lw=1.8, label=label)
        axes.set_yticks(range(lines), [lines_of(name) for name in shown.names])
        axes.set_ylim(lines - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(shown.unit)
        figure.legend(loc="outside upper center", ncols=len(estimators) + 1)
        return png(figure)


def weight_curves(curve: pl.DataFrame, colour: str = LEARNED) -> bytes:
    """One policy's curves: the sizes of bias and noise against λ, a row per base and a column per family.

    `curve` holds the rows of `rlrec.ope.curve` with the choices of each rule, as an evaluation and `curve.parquet` do.
    """
    bases = sorted(curve["base"].unique(maintain_order=True), key=by_preference)
    families = curve["family"].unique(maintain_order=True).to_list()
    wide, high = max(WIDTH, LABELS + PANEL * len(families)), HEAD + FOOT + PANEL * len(bases)
    with styled():
        figure = Figure(figsize=(wide, high))
        figure.subplots_adjust(LABELS / wide, FOOT / high, 1 - GUTTER / wide, 1 - HEAD / high, GUTTER, GUTTER)
        shape = len(bases), len(families)
        grid = figure.subplots(*shape, sharex="col", sharey=True, squeeze=False, subplot_kw={"yscale": "log"})
        named: dict[str, Any] = {}
        for along, family in enumerate(families):
            own = curve.filter(pl.col("family") == family)
            axis = cap_axis(own["lambda"].unique().to_list(), decades=3)
            grid[-1, along].set_xscale("log" if axis.logarithmic else "linear")
            grid[-1, along].set_xticks(axis.ticks, axis.labels, fontsize=8)
            grid[-1, along].xaxis.minorticks_off()
            grid[-1, along].set_xlabel(f"λ of {family_title(family)}", fontsize=8)
            for axes, base in zip(grid[:, along], bases, strict=True):
                named |= draw_curve(axes, own.filter(pl.col("base") == base), colour)
        grid[0, 0].yaxis.minorticks_off()  # all panels share this axis
        grid[0, 0].yaxis.set_major_formatter("{x:g}")
        for axes, base in zip(grid[:, 0], bases, strict=True):
            axes.set_ylabel(f"{estimator_title(base)}: error")
        figure.legend(named.values(), named.keys(), loc="upper center", ncols=3)
        return png(figure)


def draw_curve(axes: Axes, frame: pl.DataFrame, colour: str) -> dict[str, Any]:
    """One panel of the curves; its legend's handles by name."""
    axis = cap_axis(frame["lambda"].to_list())
    found: dict[str, Any] = {}
    for column, name, dash, sizes in curve_lines(frame):
        ink = INK if column == "true_bias" else colour
        places = [nan if size is None else size for size in sizes]
        found[name] = axes.plot(axis.places, places, linestyle=STROKES[dash], color=ink, lw=1.5)[0]
    for rule, dash, row in chosen_caps(frame):
        found[f"λ by {rule}"] = axes.axvline(axis.places[row], color=NEUTRAL, lw=1.2, linestyle=STROKES[dash])
    if axis.falling:
        axes.set_xlim(axis.places[0], axis.places[-1])
    return found


def curve_png(curve: pl.DataFrame, path: Path) -> None:
    """Write the picture of `weight_curves` for the first policy of a `curve.parquet`."""
    if "target_policy" in curve.columns:
        curve = curve.filter(pl.col("target_policy") == curve["target_policy"][0])
    path.write_bytes(weight_curves(curve))


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
