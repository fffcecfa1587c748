"""The benchmark's truth is the truth, and its rules differ as their names say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.launches import CONTEXTS, KINDS, RULES, Decision, decision, outcomes, world

ROWS = 200_000
WIDE = 5  # standard errors

BETTER = Decision("close", 1_000, gain=0.1, ips=0.01, snips=0.01, low=0.001, high=0.02, verdict="trust")


@pytest.mark.parametrize("kind", KINDS)
def test_the_serving_policys_value_is_what_its_log_earns(kind):
    made = world(kind, np.random.default_rng(3))
    rounds = made.log(ROWS, np.random.default_rng(4))
    by_user = rounds.per_cluster(rounds.rewards[:, 0] - made.value(made.serving))
    assert abs(by_user.sum()) < WIDE * np.sqrt((by_user**2).sum())
    assert made.serving.sum(axis=1) == pytest.approx(np.ones(CONTEXTS))


@pytest.mark.parametrize("kind", ["close", "gaps", "stale"])
def test_only_true_propensities_of_all_items_give_a_mean_weight_of_1(kind):
    made = world(kind, np.random.default_rng(3))
    rounds = made.log(ROWS, np.random.default_rng(4))
    by_user = rounds.per_cluster(rounds.weights[:, 0] - 1)
    within = abs(by_user.sum()) < WIDE * np.sqrt((by_user**2).sum())
    assert within == (kind == "close")


def test_each_rule_launches_less_than_the_one_before():
    decisions = [decision(number, seed=1) for number in range(12)]
    launched = [{index for index, one in enumerate(decisions) if launches(one)} for launches, _ in RULES.values()][1:]
    assert all(later <= earlier for earlier, later in pairwise(launched))
    assert launched[0] > launched[-1]
    assert decision(5, seed=1) == decisions[5]


def test_outcomes_count_what_happened():
    worse, unsure = replace(BETTER, gain=-0.1), replace(BETTER, low=-0.01)
    unsupported = replace(worse, verdict="no_support")
    rows = {name: cells for name, *cells in outcomes([BETTER, worse, unsure, unsupported])}
    counts = {name: [cell.split(" ")[0] for cell in cells[:-1]] for name, cells in rows.items()}
    assert counts["SNIPS larger"] == ["2/2", "2/4", "0/2", "0/4"]
    assert counts["lower bound"] == ["2/2", "2/3", "1/2", "1/4"]
    assert counts["gate"] == counts["strict gate"] == ["1/2", "1/2", "1/2", "2/4"]
    assert rows["gate"][-1] == f"{(0.1 - 0.1) / 4:+.1%}"
