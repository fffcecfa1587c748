"""Sentences that follow from intervals, and numbers as they are written."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tasks.report.results import Headline, Results
from tasks.report.wording import (
    caveats,
    duration,
    headline_sentence,
    main_comparisons,
    metric_title,
    number,
    ordered_metrics,
    percent,
    reading,
    rule_text,
    support_sentence,
)


def with_headline(results: Results, **changes: object) -> Results:
    headline = results.summary.headline
    assert headline
    changed = Headline.model_validate(headline.model_dump() | changes)
    return replace(results, summary=results.summary.model_copy(update={"headline": changed}))


@pytest.mark.parametrize(
    ("difference", "low", "high", "said"),
    [
        (0.05, 0.01, 0.09, "Stage B (GRPO) beats EASE (train + clicks) by 0.050 clicks per slate"),
        (0.05, -0.01, 0.11, "Stage B (GRPO) is not shown to beat EASE (train + clicks)"),
        (-0.05, -0.09, -0.01, "Stage B (GRPO) does not beat EASE (train + clicks): it is worse by 0.050"),
        (0.05, None, None, "No verdict"),
    ],
)
def test_the_headline_follows_the_interval(
    results: Results, difference: float, low: float, high: float, said: str
) -> None:
    changed = with_headline(results, difference=difference, low=low, high=high, beats=None)
    assert said in headline_sentence(changed)


def test_the_verdict_of_the_logs_stands_under_the_headline(results: Results) -> None:
    assert support_sentence(results) == "Off-policy verdict on Stage B (GRPO), from the logs alone: trust."
    doubtful = support_sentence(with_headline(results, policy="ease"))
    assert "caution (share of all weight on one row 0.071 > 0.05" in doubtful
    assert support_sentence(with_headline(results, policy="gfcf")) == ""


def test_the_headline_names_its_half(results: Results) -> None:
    assert headline_sentence(results).startswith("In simulated feedback")
    assert headline_sentence(with_headline(results, metric="ndcg@10")).startswith("On held-out interactions")


def test_a_harder_baseline_is_not_passed_over(results: Results) -> None:
    assert not any("harder to beat" in caveat for caveat in caveats(results))
    changed = with_headline(results, reference="gfcf_clicks", difference=0.166, low=0.13, high=0.2)
    assert any(caveat.startswith("EASE (train + clicks)") and "harder to beat" in caveat for caveat in caveats(changed))


def test_an_unanswerable_policy_is_a_caveat(results: Results) -> None:
    assert any("cannot tell the value of Most popular" in caveat for caveat in caveats(results))


def test_the_deciding_comparisons_hold_both_halves(results: Results) -> None:
    rows = main_comparisons(results).select("reference", "half").rows()
    assert rows == [(who, half) for half in ("simulated", "heldout") for who in ("ease_clicks", "logging")]


def test_the_held_out_half_is_told_against_its_own_strongest_rival(results: Results) -> None:
    changed = with_headline(results, reference="gfcf_clicks", difference=0.166, low=0.13, high=0.2)
    rows = main_comparisons(changed).select("reference", "half").rows()
    assert ("gfcf_clicks", "simulated") in rows
    assert ("ease_clicks", "heldout") in rows
    assert ("gfcf_clicks", "heldout") not in rows


@pytest.mark.parametrize(
    ("low", "high", "metric", "said"),
    [
        (0.1, 0.2, "ndcg@10", "better"),
        (0.1, 0.2, "gini@10", "worse"),
        (0.1, 0.2, "average_popularity@10", "higher"),
        (-0.2, -0.1, "recall@10", "worse"),
        (-0.1, 0.1, "recall@10", "not shown"),
        (0.0, 0.1, "recall@10", "not shown"),
        (None, 0.1, "recall@10", "no interval"),
    ],
)
def test_reading(low: float | None, high: float, metric: str, said: str) -> None:
    assert reading(low, high, metric) == said


def test_numbers() -> None:
    assert [number(value) for value in (0.0, 0.0941, -0.5, 12.34, 1234.5, 0.00051, None)] == [
        "0.000", "0.094", "−0.500", "12.3", "1,234", "0.000510", "–",
    ]  # fmt: skip
    assert number(0.05, signed=True) == "+0.050"
    assert [percent(share) for share in (0.0, 0.006, 0.463, None)] == ["0 %", "0.6 %", "46 %", "–"]
    assert [duration(seconds) for seconds in (3.3, 96.4, 7505)] == ["3.3 s", "1 min 36 s", "2 h 05 min"]


def test_metrics_are_named_and_ordered() -> None:
    assert ordered_metrics(["ndcg@20", "gini@10", "ndcg@10", "new@10", "hit_ratio@10"]) == [
        "hit_ratio@10", "ndcg@10", "gini@10", "new@10", "ndcg@20",
    ]  # fmt: skip
    assert [metric_title(metric) for metric in ("hit_ratio@10", "new@10", "value")] == [
        "Hit ratio@10",
        "new@10",
        "Clicks per slate",
    ]


def test_rules_are_spelled_out() -> None:
    assert rule_text("max_row_share 0.071 > 0.05") == "share of all weight on one row 0.071 > 0.05"
    assert rule_text("k_hat: 0.8 > 0.7") == "tail index of the weights (k-hat): 0.8 > 0.7"
    assert rule_text("some_new_rule") == "some new rule"
    assert rule_text("effective sample size 61 is below 100") == "effective sample size 61 is below 100"


def test_one_seed_is_a_caveat(results: Results, tmp_path: Path) -> None:
    single = replace(results, summary=results.summary.model_copy(update={"seeds": [0]}))
    assert any("1 seed(s)" in caveat for caveat in caveats(single))
    assert isinstance(single.heldout, pl.DataFrame)
