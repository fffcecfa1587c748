"""Exhibits: each figure of the report with its title, caption and description, interactive and printed."""

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import plotly.graph_objects as go
import polars as pl
from plotly.io import to_json
from plotly.offline import get_plotlyjs

from tasks.report import figures, images
from tasks.report.palette import colours
from tasks.report.results import Results
from tasks.report.series import curves, forest_of, forest_of_parts, learning_panels
from tasks.report.wording import estimator_title, family_title


@dataclass(frozen=True)
class Panel:
    """One interactive plot; its title is empty where the exhibit's own says enough. A list of choices names `group`."""

    title: str
    figure: go.Figure | dict[str, Any]
    group: str = ""

    @property
    def json(self) -> str:
        """The plot as JSON that can stand inside a script element."""
        return str(to_json(self.figure, validate=False)).replace("<", "\\u003c")


@dataclass(frozen=True)
class Exhibit:
    """A figure of the report. Where `choices` names what to choose, one panel shows.

    The image is of the first.
    """

    key: str
    title: str
    caption: str
    description: str
    panels: tuple[Panel, ...]
    image: bytes
    choices: str = ""

    @property
    def grouped(self) -> list[tuple[str, list[tuple[int, Panel]]]]:
        """The panels by group, each with its place."""
        return [(name, list(panels)) for name, panels in groupby(enumerate(self.panels), lambda one: one[1].group)]

    @property
    def data_uri(self) -> str:
        """The printed figure, inlined."""
        return "data:image/png;base64," + base64.b64encode(self.image).decode()


@lru_cache(maxsize=1)
def plotly_bundle() -> str:
    """Plotly's script, compressed and in base64: a third of its size, and no network when the page opens."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def exhibits(results: Results) -> dict[str, Exhibit]:
    """Every figure that the results allow, by key."""
    found = (forest(results), weight_curve(results), popularity_recall(results), learning(results))
    return {exhibit.key: exhibit for exhibit in found if exhibit is not None}


def forest(results: Results) -> Exhibit | None:
    """Interval forest of the off-policy estimates."""
    shown = forest_of(results)
    if shown.rows.is_empty():
        return None
    truth = "The vertical bar is the true value: an honest interval covers it. " if results.simulated else ""
    return Exhibit(
        "forest",
        "Off-policy estimates with intervals",
        truth + "Each symbol is an estimator, each line its interval. Wide lines mean that the log says little.",
        "Interval forest: for each policy, its off-policy estimates with intervals, and the true value if known. "
        "The same numbers stand in the table above.",
        (Panel("", figures.forest(shown)),),
        images.forest(shown),
    )


def segments(parts: Mapping[str, pl.DataFrame], unit: str, level: str) -> Exhibit:
    """Interval forest of the parts of a log, for each target policy."""
    shown = {policy: forest_of_parts(frame, unit) for policy, frame in parts.items()}
    return Exhibit(
        "segments",
        "Parts of the log",
        f"What each part would earn with the policy, and, as a bar, what it earned as logged. The {level} intervals "
        "hold for all parts of the log at once.",
        f"Interval forest: for each part of the log its value under {next(iter(shown))}, and what it earned as logged. "
        "The same numbers stand in the table below.",
        tuple(Panel(policy, figures.forest(one)) for policy, one in shown.items()),
        images.forest(next(iter(shown.values()))),
        choices="Policy",
    )


def weight_curve(results: Results) -> Exhibit | None:
    """Weight-vs-bias curves; the headline policy's first."""
    found = curves(results)
    if not found:
        return None
    panels = tuple(
        Panel(
            family_title(family),
            figures.weight_curve(results, (target, base, family)),
            f"{results.name(target)}, {estimator_title(base)}",
        )
        for target, base, family in found
    )
    first = found[0][0]
    return Exhibit(
        "weight_curve",
        "What bending the weights buys and costs",
        "Each family bends the weights w by a parameter λ; at the right end nothing is bent. Towards it the bias bound "
        "falls and the standard error rises. Grey lines: the λ that each rule chose. Zeros are left out.",
        f"Weight-vs-bias curves of {results.name(first)}: against λ of each family, the bias bound, which falls, and "
        "the standard error, which rises, for each base estimator; the chosen λ are marked.",
        panels,
        images.weight_curves(results.curve.filter(pl.col("target_policy") == first), colours(results)[first]),
        choices="Curve",
    )


def popularity_recall(results: Results) -> Exhibit | None:
    """Popularity against recall."""
    figure, image = figures.popularity_recall(results), images.popularity_recall(results)
    if figure is None or image is None:
        return None
    return Exhibit(
        "popularity_recall",
        "Recall against popularity",
        "Higher finds more of what users went on to like; further left recommends less of what everybody knows.",
        "Scatter of the policies: mean popularity of the recommended items across, recall upwards, with intervals.",
        (Panel("", figure),),
        image,
    )


def learning(results: Results) -> Exhibit | None:
    """Learning curves of pretraining and fine-tuning."""
    panels = learning_panels(results)
    if not panels:
        return None
    return Exhibit(
        "learning",
        "Learning curves",
        "One line per seed. The star is the kept checkpoint: chosen on the selection log, never on reported data. "
        "There, the grey line is the estimate and the coloured one its lower bound.",
        "Training metrics against the step: " + ", ".join(title for _, _, title in panels) + ".",
        tuple(Panel(title, figures.learning_curve(results, stage, metric)) for stage, metric, title in panels),
        images.learning_curves(results),
    )
