"""What the figures draw."""

from math import inf

import pytest

from tasks.report.figures import error, forest, weight_curve
from tasks.report.palette import LEARNED, colours, symbols
from tasks.report.results import Results
from tasks.report.series import cap_axis, chosen_steps, crowd_points, curves, learning_panels


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
    trace = forest(results).data[0]
    assert trace.x[0] == row["value"]
    assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row["high"])
    assert trace.x[0] - trace.error_x.arrayminus[0] == pytest.approx(row["low"])
    truths = next(t for t in forest(results).data if t.meta == "ink")
    assert row["true_value"] in truths.x
    assert error([1.0], [None], [2.0])["arrayminus"] == [0.0]


def test_the_curve_marks_the_chosen_cap(results: Results) -> None:
    figure = weight_curve(results, ("grpo", "dr", "clip"))
    assert "chosen λ = 24.6" in [note.text for note in figure.layout.annotations]
    assert {trace.name for trace in figure.data} >= {"bias bound", "standard error", "true bias"}


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
