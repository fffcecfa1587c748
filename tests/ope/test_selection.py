from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from rlrec.ope.curve import curve
from rlrec.ope.diagnostics import Diagnostics, diagnose
from rlrec.ope.rounds import Rounds
from rlrec.ope.selection import GRADES, decision_changes, gate, judge, select, worst_of
from tests.ope.test_estimators import random_rounds


@pytest.fixture(scope="module")
def healthy() -> Diagnostics:
    g = np.random.default_rng(0)
    action = g.choice(3, size=5_000, p=[0.3, 0.3, 0.4])
    p, e = np.array([0.3, 0.3, 0.4])[action], np.array([0.4, 0.3, 0.3])[action]
    reward = (g.random(5_000) < 0.3).astype(float)
    rounds = Rounds.of(reward, p, e, q_hat=np.full(5_000, 0.3), q_hat_target=np.full(5_000, 0.3))
    return replace(diagnose(rounds), k_hat=0.2)  # three distinct weights have no tail to fit


def test_a_healthy_log_is_trusted(healthy):
    verdict = judge(healthy, sign_change=False)
    assert verdict.grade == "trust"
    assert verdict.failures == verdict.unavailable == ()


@pytest.mark.parametrize(
    ("changes", "grade", "rule"),
    [
        ({"effective_sample_size": 99.9}, "no_support", "effective_sample_size"),
        ({"max_row_share": 0.26}, "no_support", "max_row_share"),
        ({"max_cluster_share": 0.26}, "no_support", "max_cluster_share"),
        ({"missing_mass_low": 0.051}, "no_support", "missing_mass_low"),
        ({"mean_weight_z": -4.1}, "no_support", "mean_weight_z"),
        ({"effective_share": 0.0099}, "caution", "effective_share"),
        ({"max_row_share": 0.051}, "caution", "max_row_share"),
        ({"mean_weight": 1.11}, "caution", "mean_weight_gap"),
        ({"mean_weight": 0.89}, "caution", "mean_weight_gap"),
        ({"missing_mass_low": 0.001}, "caution", "missing_mass_low"),
        ({"k_hat": 0.71}, "caution", "k_hat"),
        ({"variance_ratio": 1.01}, "caution", "variance_ratio"),
        ({"propensity_estimated": True}, "caution", "propensity_estimated"),
    ],
)
def test_each_rule_alone(healthy, changes, grade, rule):
    verdict = judge(replace(healthy, **changes), sign_change=False)
    assert verdict.grade == grade
    assert rule in {failure.rule for failure in verdict.failures}
    value = next(iter(changes.values()))
    worst = verdict.failures[0]
    assert worst.grade == grade
    if rule != "mean_weight_gap":
        assert worst.value == pytest.approx(abs(float(value)))


def test_limits_themselves_pass(healthy):
    edge = replace(healthy, effective_sample_size=100.0, max_row_share=0.05, mean_weight_z=4.0, k_hat=0.7)
    assert judge(edge, sign_change=False).grade == "trust"


def test_what_is_unavailable_is_listed_and_a_changing_decision_warns(healthy):
    verdict = judge(replace(healthy, k_hat=np.nan))
    assert verdict.unavailable == ("k_hat", "decision_changes")
    assert judge(healthy, sign_change=True).failures[0].rule == "decision_changes"


@pytest.mark.data
def test_a_log_without_support_is_refused(data):
    """Bernoulli Thompson logs of the women's campaign judged for the uniform policy: one row has 69 % of the weight."""
    log = pl.read_csv(data / "open-bandit" / "bts" / "women" / "women.csv.gz")
    items = log["item_id"].n_unique()
    rounds = Rounds.of(
        log["click"].to_numpy(), log["propensity_score"].to_numpy(), np.full(len(log), 1 / 46), reward_range=(0.0, 1.0)
    )
    assert items == 46
    seen = diagnose(rounds)
    assert seen.effective_sample_size == pytest.approx(2.08, abs=0.005)
    assert seen.max_row_share == pytest.approx(0.69, abs=0.005)
    assert seen.k_hat == pytest.approx(0.56, abs=0.01)
    assert seen.mean_weight == pytest.approx(3.13, abs=0.005)
    assert judge(seen).grade == "no_support"


def hand(values: list[float], halves: list[float], bounds: list[float] | None = None) -> pl.DataFrame:
    size = len(values)
    return pl.DataFrame(
        {
            "base": ["ips"] * size,
            "family": ["clip"] * size,
            "lambda": [float(size - i) for i in range(size)],
            "value": values,
            "ci_low": [v - h for v, h in zip(values, halves, strict=True)],
            "ci_high": [v + h for v, h in zip(values, halves, strict=True)],
            "mse_bound": bounds or [None] * size,
        },
        schema_overrides={"mse_bound": pl.Float64},
    )


def test_slope_stops_before_intervals_lose_their_common_point():
    # value ± 2h: [-2, 4], [0, 2], [1.6, 2.4], [2.5, 2.9]: the fourth misses the second's upper end
    rows = hand([1.0, 1.0, 2.0, 2.7], [1.5, 0.5, 0.2, 0.1])
    assert select(rows, "slope").value == 2.0
    assert select(rows.sample(fraction=1, shuffle=True, seed=1), "slope").value == 2.0
    # pairwise neighbours meet, but not all three at once
    for up in (1, -1):
        assert select(hand([0.0, up * 1.9, up * 2.3], [0.5, 0.48, 0.45]), "slope").value == up * 1.9


def test_slope_takes_the_narrowest_when_all_agree():
    chosen = select(hand([1.0, 1.1, 1.05], [3.0, 2.0, 1.0]), "slope")
    assert chosen.parameter == 1.0
    assert chosen.same_rows


def test_slope_plus_plus_lets_a_value_lie_its_own_half_width_and_some_of_each_earlier_one_away():
    halves = np.array([1.0, 0.5, 0.2])
    reach = (halves[2] + (np.sqrt(6) - 1) * halves)[:2].min()  # of the third; the second binds
    for third, kept in ((reach - 1e-9, 2), (reach + 1e-9, 1), (-reach - 1e-9, 1)):
        moved = [0.0, 0.0, third]
        rows = hand(moved, halves.tolist())
        assert select(rows, "slope_plus_plus").parameter == rows["lambda"][kept]
        assert select(rows.reverse(), "slope_plus_plus").parameter == rows["lambda"][kept]
    # what follows a break is not looked at, even if it agrees with all
    assert select(hand([0.0, 9.0, 0.0], [1.0, 0.5, 0.2]), "slope_plus_plus").parameter == 3.0
    # every two of these lie within 2h of each other's; SLOPE++ asks for more
    stricter = hand([0.0, 1.8, 1.9], [0.5, 0.49, 0.48])
    assert (select(stricter, "slope").value, select(stricter, "slope_plus_plus").value) == (1.9, 0.0)


def test_mse_bound_takes_the_least():
    assert select(hand([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.3, 0.1, 0.2]), "mse_bound").value == 2.0
    assert select(hand([1.0], [1.0]), "mse_bound") is None


def test_the_bound_lets_tuning_beat_no_clipping():
    """With one rare heavy action the least certified error is reached at a finite threshold."""
    g = np.random.default_rng(0)
    p, e = np.array([0.5, 0.498, 0.002]), np.array([0.49, 0.5, 0.01])
    action = g.choice(3, size=20_000, p=p)
    rounds = Rounds.of((g.random(20_000) < 0.02).astype(float), p[action], e[action], reward_range=(0.0, 1.0))
    chosen = select(curve(rounds, "ips", "clip"), "mse_bound")
    assert 0 < chosen.parameter < np.inf


def test_decisions_along_the_curve():
    assert decision_changes(hand([1.0, 3.0], [0.5, 0.5]), 2.0) is True
    assert decision_changes(hand([1.0, 3.0], [0.5, 2.0]), 2.0) is False
    empty = curve(random_rounds(0, count=1), "snips", "clip")
    assert decision_changes(empty, 0.0) is None


@pytest.mark.parametrize("worst", GRADES)
@pytest.mark.parametrize("verdict", GRADES)
@pytest.mark.parametrize(
    ("low", "margin", "above"),
    [
        (0.1, 0.0, True),
        (0.0, 0.0, False),
        (0.1, 0.1, False),
        (-0.1, -0.2, True),
        (np.nan, 0.0, False),
        (np.nan, -1.0, False),
    ],
)
def test_the_gate_asks_for_both(low, margin, above, verdict, worst):
    found = gate(low, verdict, margin, worst=worst)
    allowed = GRADES.index(verdict) <= GRADES.index(worst)
    assert found.passes == (above and allowed)
    assert len(found.reasons) == (not above) + (not allowed)


def test_caution_passes_unless_said_otherwise():
    assert [gate(0.1, verdict).passes for verdict in GRADES] == [True, True, False]
    assert worst_of(["caution", "trust"]) == "caution"
    assert worst_of(GRADES) == "no_support"
