"""Figures: the interactive ones, in plotly. Colours of text, grid and ink are set by the page, which knows its mode."""

import html
from math import log10
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tasks.report.palette import DASHES, LEARNED, NEUTRAL, colours, symbol_of, symbols
from tasks.report.results import Results
from tasks.report.series import (
    cap_axis,
    cap_text,
    chosen_steps,
    crowd_metrics,
    crowd_points,
    curve_of,
    forest_rows,
    lines_of,
    steps_of,
)
from tasks.report.wording import estimator_title, metric_title

INK = {"meta": "ink"}  # the page draws these traces in its text colour
SPREAD = 0.6  # of a row's height, taken by its estimators


def framed(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """The common frame: no template, transparent, legend above, room for long labels."""
    figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 12, "r": 12, "t": 8, "b": 12},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        font={"family": "system-ui, sans-serif", "size": 13},
        hovermode="closest",
    )
    title = {"font": {"size": 13}, "standoff": 10}
    figure.update_xaxes(automargin=True, zeroline=False, title=title)
    figure.update_yaxes(automargin=True, zeroline=False, title=title)
    figure.update_layout(**layout)
    return figure


def error(values: list[float], lows: list[float | None], highs: list[float | None], **style: Any) -> dict[str, Any]:
    """Plotly's asymmetric error bars from the ends of intervals; nothing where an end is unknown."""
    up = [0.0 if high is None else high - value for value, high in zip(values, highs, strict=True)]
    down = [0.0 if low is None else value - low for value, low in zip(values, lows, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, "thickness": 1.6, "width": 4, **style}


def forest(results: Results) -> go.Figure:
    """Estimates per policy and estimator with intervals, and a bar where the truth is."""
    policies, estimators, rows = forest_rows(results)
    hue, figure = colours(results), go.Figure()
    drop = SPREAD / max(1, len(estimators))
    for one in rows.iter_rows(named=True):
        place = policies.index(one["target_policy"])
        below = place + drop * (estimators.index(one["estimator"]) - (len(estimators) - 1) / 2)
        colour = hue[one["target_policy"]]
        figure.add_scatter(
            x=[one["value"]],
            y=[below],
            mode="markers",
            showlegend=False,
            marker={"color": colour, "symbol": symbol_of(one["estimator"]), "size": 9},
            error_x=error([one["value"]], [one["low"]], [one["high"]], color=colour),
            name=f"{html.escape(results.name(one['target_policy']))}, {estimator_title(one['estimator'])}",
            hovertemplate="%{x:.3f}",
        )
    for estimator in estimators:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=html.escape(estimator_title(estimator)),
            marker={"color": NEUTRAL, "symbol": symbol_of(estimator), "size": 9},
        )
    known = rows.filter(rows["true_value"].is_not_null()).unique("target_policy", maintain_order=True)
    if len(known):
        half = SPREAD / 2 + drop / 4
        bars = [(v, policies.index(p)) for p, v in known.select("target_policy", "true_value").rows()]
        figure.add_scatter(
            x=[x for value, _ in bars for x in (value, value, None)],
            y=[y for _, place in bars for y in (place - half, place + half, None)],
            mode="lines",
            line={"width": 2.5},
            name="true value",
            hovertemplate="true value %{x:.3f}<extra></extra>",
            **INK,
        )
    names = [lines_of(results.name(policy), escape=True) for policy in policies]
    figure.update_yaxes(
        tickvals=list(range(len(policies))), ticktext=names, range=[len(policies) - 0.5, -0.5], showgrid=False
    )
    figure.update_xaxes(title=results.summary.value_unit)
    return framed(figure, height=90 + 64 * len(policies))


def weight_curve(results: Results, chosen: tuple[str, str, str]) -> go.Figure:
    """Above: bias bound, standard error and true bias against the cap λ. Below: the estimate with its interval."""
    frame = curve_of(results, chosen)
    axis = cap_axis(frame["lambda"].to_list())
    hue = colours(results).get(chosen[0], LEARNED)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.06)
    caps = [cap_text(cap) for cap in frame["lambda"]]
    lines = [
        ("bias_bound", "bias bound", "solid", {}),
        ("se", "standard error", "dash", {}),
        ("true_bias", "true bias", "dot", INK),
    ]
    for column, name, dash, ink in lines:
        if frame[column].is_not_null().any():
            figure.add_scatter(
                x=axis.places,
                y=frame[column].abs().replace(0.0, None).to_list(),
                customdata=caps,
                mode="lines",
                name=name,
                line={"color": hue, "dash": dash, "width": 2.2},
                hovertemplate=f"{name} %{{y:.3g}} at λ = %{{customdata}}<extra></extra>",
                row=1,
                col=1,
                **ink,
            )
    figure.add_scatter(
        x=axis.places + axis.places[::-1],
        y=frame["ci_high"].to_list() + frame["ci_low"].to_list()[::-1],
        fill="toself",
        mode="lines",
        line={"width": 0},
        fillcolor=hue,
        opacity=0.25,
        hoverinfo="skip",
        showlegend=False,
        row=2,
        col=1,
    )
    figure.add_scatter(
        x=axis.places,
        y=frame["value"].to_list(),
        customdata=caps,
        mode="lines",
        line={"color": hue, "width": 2.2},
        name="estimate",
        showlegend=False,
        hovertemplate="estimate %{y:.3f} at λ = %{customdata}<extra></extra>",
        row=2,
        col=1,
    )
    middle = len(frame) // 2
    for rank, (place, cap, selected) in enumerate(zip(axis.places, caps, frame["selected"], strict=True)):
        if selected:
            figure.add_vline(x=place, line={"color": NEUTRAL, "width": 1.5, "dash": "dash"})
            figure.add_annotation(
                x=log10(place) if axis.logarithmic else place,  # annotations go by exponent, traces by value
                xref="x",
                y=1,
                yref="y domain",
                text=f"chosen λ = {cap}",
                showarrow=False,
                xanchor="left" if rank < middle else "right",
                yanchor="top",
                xshift=6 if rank < middle else -6,
            )
    ticks = {"tickvals": axis.ticks, "ticktext": axis.labels, "type": "log" if axis.logarithmic else "linear"}
    figure.update_xaxes(**ticks)
    figure.update_xaxes(title="cap λ on the weights", row=2, col=1)
    figure.update_yaxes(title="error", type="log", dtick=1, row=1, col=1)
    figure.update_yaxes(title="estimate", row=2, col=1)
    return framed(figure, height=460)


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
