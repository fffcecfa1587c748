"""What the figures draw."""

from math import inf
from pathlib import Path

import matplotlib.image
import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from rlrec.ope.curve import curve
from rlrec.ope.rounds import Rounds
from rlrec.ope.transforms import FAMILIES
from tasks.report.figures import error, forest, weight_curve
from tasks.report.glossary import CURVE_LINES, RULES_OF_CHOICE
from tasks.report.images import curve_png
from tasks.report.palette import LEARNED, colours, symbols
from tasks.report.results import Results
from tasks.report.series import (
    cap_axis,
    chosen_steps,
    crowd_points,
    curve_lines,
    curve_of,
    curves,
    forest_of,
    learning_panels,
)


def test_zero_and_infinity_stand_beside_the_finite_caps() -> None:
    axis = cap_axis([0.0, 0.5, 5.0, 50.0, inf])
    assert axis.logarithmic
    assert axis.places == sorted(axis.places)
    assert axis.places[1:4] == [0.5, 5.0, 50.0]
    assert dict(zip(axis.labels, axis.ticks, strict=True))["∞"] == axis.places[-1] > 50
    assert not cap_axis([0.0, 0.5, 1.0]).logarithmic
    assert cap_axis([0.0, inf]).logarithmic


def test_the_headline_policy_and_dr_come_first(results: Results) -> None:
    assert curves(results)[0] == ("grpo", "dr", "clip")
    assert len(curves(results)) == 4


def test_the_forest_draws_the_intervals_of_the_results(results: Results) -> None:
    row = results.estimates.row(0, named=True)
    figure = forest(forest_of(results))
    trace = figure.data[0]
    assert trace.x[0] == row["value"]
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row["high"])
    assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(row["low"])
    truths = next(t for t in figure.data if t.meta == "ink")
    assert row["true_value"] in truths.x
    assert error([1.0], [None], [2.0])["arrayminus"] == [0.0]


def test_the_curve_marks_what_each_rule_chose(results: Results) -> None:
    figure = go.Figure(weight_curve(results, ("grpo", "dr", "clip")))  # refuses a property that plotly does not know
    frame = curve_of(results, ("grpo", "dr", "clip"))
    marked = {shape.name.partition(":")[0]: shape.x0 for shape in figure.layout.shapes}
    assert marked == {
        f"λ by {name}": frame["lambda"][frame[f"selected_{rule}"].arg_true()[0]]
        for rule, (name, _) in RULES_OF_CHOICE.items()
    }
    assert len(set(marked.values())) == len(RULES_OF_CHOICE)
    drawn = {trace.name: trace for trace in figure.data}
    assert drawn.keys() >= {name for name, _ in CURVE_LINES.values()}
    assert drawn["true bias"].meta == "ink"
    assert list(drawn["standard error"].y) == pytest.approx(frame["se"].to_list(), rel=1e-4)
    assert figure.layout.xaxis.type == "log"


def test_the_untouched_weight_stands_on_the_right_in_every_family() -> None:
    log = np.random.default_rng(0)
    frame = pl.concat(
        curve(Rounds.of(log.random(200), log.uniform(0.1, 1, 200), log.uniform(0.1, 1, 200)), "ips", family)
        for family in FAMILIES
    )
    for family in FAMILIES:
        axis = cap_axis(frame.filter(pl.col("family") == family)["lambda"].to_list())
        assert axis.falling == (family == "sg")
        assert axis.logarithmic == (family in ("clip", "switch", "os"))
        assert sorted(axis.places, reverse=axis.falling) == axis.places


def test_what_is_too_small_to_matter_takes_no_room_on_the_axis() -> None:
    frame = pl.DataFrame({"se": [1e-19, 1e-4, 0.1], "bias_bound": [1.0, -0.5, 0.0], "bias_plugin": [None] * 3})
    found = {column: sizes for column, _, _, sizes in curve_lines(frame.cast({"bias_plugin": pl.Float64}))}
    assert found == {"se": [None, None, 0.1], "bias_bound": [1.0, 0.5, None]}


def test_the_picture_of_a_curve(results: Results, tmp_path: Path) -> None:
    one = results.curve.filter(pl.col("target_policy") == "grpo")
    curve_png(results.curve, tmp_path / "first.png")
    curve_png(one.drop("target_policy"), tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "first.png").read_bytes()
    pixels = matplotlib.image.imread(tmp_path / "first.png")
    assert pixels[..., :3].std() > 0.05


def test_a_method_keeps_its_colour_whatever_it_was_fitted_on(results: Results) -> None:
    hue, mark = colours(results), symbols(results)
    assert hue["ease"] == hue["ease_clicks"] == hue["ease_feedback"]
    assert len({mark["ease"], mark["ease_clicks"], mark["ease_feedback"]}) == 3
    assert [policy for policy, colour in hue.items() if colour == LEARNED] == ["grpo"]
    assert len(set(hue.values())) == len({label for label, _ in results.described.values()})


def test_the_kept_checkpoint_of_each_seed(results: Results) -> None:
    assert [step for step, _ in chosen_steps(results, "select/dr_low")] == [250, 300, 250]
    assert len(learning_panels(results)) == 7


def test_points_of_the_scatter(results: Results) -> None:
    points = crowd_points(results, "average_popularity@10", "recall@10")
    assert points["policy"].to_list() == list(results.described)
