"""Figures: the interactive ones, in plotly. Colours of text, grid and ink are set by the page, which knows its mode."""

import html
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

from tasks.report.palette import DASHES, LEARNED, NEUTRAL, colours, symbol_of, symbols
from tasks.report.results import Results
from tasks.report.series import (
    Forest,
    cap_axis,
    cap_text,
    chosen_caps,
    chosen_steps,
    crowd_metrics,
    crowd_points,
    curve_lines,
    curve_of,
    lines_of,
    steps_of,
)
from tasks.report.wording import estimator_title, family_title, metric_title

INK = {"meta": "ink"}  # the page draws these traces in its text colour
TITLE = {"font": {"size": 13}, "standoff": 10}
AXIS = {"automargin": True, "zeroline": False}
HEAD = 110  # pixels for legend and axis
SPREAD = 0.6  # of a row's height, taken by its estimators


def frame_of(height: int) -> dict[str, Any]:
    """The common frame: no template, transparent, legend above, room for long labels."""
    return {
        "template": "none",
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 12, "r": 12, "t": 8, "b": 12},
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "hovermode": "closest",
    }


def framed(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """The figure in the common frame."""
    figure.update_layout(**frame_of(height))
    figure.update_xaxes(**AXIS, title=TITLE)
    figure.update_yaxes(**AXIS, title=TITLE)
    figure.update_layout(**layout)
    return figure


def error(values: list[float], lows: list[float | None], highs: list[float | None], **style: Any) -> dict[str, Any]:
    """Plotly's asymmetric error bars from the ends of intervals; nothing where an end is unknown."""
    up = [0.0 if high is None else high - value for value, high in zip(values, highs, strict=True)]
    down = [0.0 if low is None else value - low for value, low in zip(values, lows, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, **style}


def forest(shown: Forest) -> go.Figure:
    """Estimates with intervals, a symbol per estimator, and a bar where a mark stands."""
    figure, estimators = go.Figure(), shown.estimators
    drop = SPREAD / max(1, len(estimators))
    for one in shown.rows.iter_rows(named=True):
        place = shown.keys.index(one["key"])
        below = place + drop * (estimators.index(one["estimator"]) - (len(estimators) - 1) / 2)
        colour = shown.hues[place]
        figure.add_scatter(
            x=[one["value"]],
            y=[below],
            mode="markers",
            showlegend=False,
            marker={"color": colour, "symbol": symbol_of(one["estimator"]), "size": 9},
            error_x=error([one["value"]], [one["low"]], [one["high"]], color=colour),
            name=f"{html.escape(shown.names[place])}, {estimator_title(one['estimator'])}",
            hovertemplate="%{x:.3g}",
        )
    for estimator in estimators:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=html.escape(estimator_title(estimator)),
            marker={"color": NEUTRAL, "symbol": symbol_of(estimator), "size": 9},
        )
    if shown.marks:
        half = SPREAD / 2 + drop / 4
        figure.add_scatter(
            x=[x for value, _ in shown.marks for x in (value, value, None)],
            y=[y for _, place in shown.marks for y in (place - half, place + half, None)],
            mode="lines",
            line={"width": 2.5},
            name=shown.marked,
            hovertemplate=f"{shown.marked} %{{x:.3g}}<extra></extra>",
            **INK,
        )
    lines = len(shown.keys)
    names = [lines_of(name, escape=True) for name in shown.names]
    figure.update_yaxes(tickvals=list(range(lines)), ticktext=names, range=[lines - 0.5, -0.5], showgrid=False)
    figure.update_xaxes(title=shown.unit)
    return framed(figure, height=HEAD + int((24 + 8 * len(estimators)) * lines))


def weight_curve(results: Results, chosen: tuple[str, str, str]) -> dict[str, Any]:
    """Above: the sizes of bias and noise against λ. Below: the estimate with its interval.

    A plain mapping, which plotly's script takes as it is: there may be a hundred of them in a page.
    """
    frame = curve_of(results, chosen)
    caps = frame["lambda"].to_list()
    axis = cap_axis(caps)
    hue = colours(results).get(chosen[0], LEARNED)
    at = {"type": "scatter", "mode": "lines", "x": rounded(axis.places), "customdata": [cap_text(cap) for cap in caps]}
    lines = [
        at
        | {"y": rounded(sizes), "name": name, "line": {"color": hue, "dash": dash, "width": 2.2}}
        | {"hovertemplate": f"{name} %{{y:.3g}} at λ = %{{customdata}}<extra></extra>"}
        | (INK if column == "true_bias" else {})
        for column, name, dash, sizes in curve_lines(frame)
    ]
    below = at | {"yaxis": "y2", "showlegend": False, "line": {"color": hue, "width": 2.2}}
    edge = below | {"y": rounded(frame["ci_low"]), "line": {"width": 0}, "hoverinfo": "skip"}
    shade = edge | {"y": rounded(frame["ci_high"]), "fill": "tonexty", "fillcolor": f"{hue}40"}
    estimate = below | {"y": rounded(frame["value"]), "name": "estimate"}
    estimate |= {"hovertemplate": "estimate %{y:.4g} at λ = %{customdata}<extra></extra>"}
    marks = [
        {"type": "line", "xref": "x", "yref": "paper", "x0": axis.places[row], "x1": axis.places[row], "y0": 0, "y1": 1}
        | {"line": {"color": NEUTRAL, "width": 1.6, "dash": dash}, "showlegend": True}
        | {"name": f"λ by {rule}: {cap_text(caps[row])}"}
        for rule, dash, row in chosen_caps(frame)
    ]
    scale = {"tickvals": axis.ticks, "ticktext": axis.labels, "type": "log" if axis.logarithmic else "linear"}
    across = AXIS | scale | {"anchor": "y2"} | ({"autorange": "reversed"} if axis.falling else {})
    return {
        "data": [*lines, edge, shade, estimate],
        "layout": {
            **frame_of(460),
            "shapes": marks,
            "xaxis": across | {"title": TITLE | {"text": f"λ of {family_title(chosen[2])}"}},
            "yaxis": AXIS
            | {
                "domain": [0.44, 1],
                "type": "log",
                "dtick": 1,
                "exponentformat": "power",
                "title": TITLE | {"text": "error"},
            },
            "yaxis2": AXIS | {"domain": [0, 0.38], "title": TITLE | {"text": "estimate"}},
        },
    }


def rounded(numbers: Iterable[float | None]) -> list[float | None]:
    """Numbers as a screen shows them, which takes a third of the room."""
    return [None if one is None else float(f"{one:.5g}") for one in numbers]


def popularity_recall(results: Results) -> go.Figure | None:
    """Recall against how popular the recommended items are: up and to the left is better for the tail."""
    metrics = crowd_metrics(results)
    if metrics is None:
        return None
    hue, mark, figure = colours(results), symbols(results), go.Figure()
    for policy, low, high, recall, popularity in crowd_points(results, *metrics).rows():
        figure.add_scatter(
            x=[popularity],
            y=[recall],
            mode="markers",
            name=html.escape(results.name(policy)),
            marker={"color": hue[policy], "symbol": mark[policy], "size": 12},
            error_y=error([recall], [low], [high], color=hue[policy]),
            hovertemplate=f"{metric_title(metrics[1])} %{{y:.3f}}, popularity %{{x:.1f}}",
        )
    figure.update_xaxes(title=metric_title(metrics[0]))
    figure.update_yaxes(title=metric_title(metrics[1]))
    return framed(figure, height=430, legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"})


def learning_curve(results: Results, stage: str, metric: str) -> go.Figure:
    """One training metric against the step, a line per seed; the kept checkpoint is a star."""
    figure = go.Figure()
    colour = LEARNED if stage == "finetune" else NEUTRAL
    selection = metric == "select/dr_low"
    for place, (seed, frame) in enumerate(steps_of(results, stage, metric).items()):
        figure.add_scatter(
            x=frame["step"].to_list(),
            y=frame["value"].to_list(),
            mode="lines+markers" if selection else "lines",
            name="all" if seed is None else f"seed {seed}",
            line={"color": colour, "dash": DASHES[place % len(DASHES)], "width": 1.6},
        )
    if selection:
        for seed, frame in steps_of(results, stage, "select/dr_value").items():
            figure.add_scatter(
                x=frame["step"].to_list(),
                y=frame["value"].to_list(),
                mode="lines",
                name="DR value" if seed is None else f"DR value, seed {seed}",
                showlegend=False,
                line={"color": NEUTRAL, "width": 1.2},
            )
        kept = chosen_steps(results, metric)
        figure.add_scatter(
            x=[step for step, _ in kept],
            y=[value for _, value in kept],
            mode="markers",
            name="kept",
            marker={"symbol": "star", "size": 14},
            **INK,
        )
    figure.update_xaxes(title="step")
    return framed(figure, height=250)
