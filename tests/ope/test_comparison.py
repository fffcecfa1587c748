from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from rlrec.errors import InputError
from rlrec.ope.comparison import compared, logged, logged_stats, ranking, simultaneous, summed, summed_stats
from rlrec.ope.estimators import beta_ips, ips, snips
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats, value_of

LOGGING, MEAN = np.array([0.4, 0.3, 0.3]), np.array([0.3, 0.5, 0.4])
TARGETS = np.array([[0.3, 0.4, 0.3], [0.2, 0.5, 0.3], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4]])


def logs(seed: int, count: int = 800, users: int = 200) -> list[Rounds]:
    g = np.random.default_rng(seed)
    action, cluster = g.choice(3, size=count, p=LOGGING), g.integers(0, users, count)
    reward = (g.random(count) < MEAN[action]).astype(float)
    return [Rounds.of(reward, LOGGING[action], target[action], cluster=cluster) for target in TARGETS]


def test_all_intervals_hold_at_once_where_single_ones_do_not():
    truths = TARGETS @ MEAN
    at_once, singly, gaps = 0, 0, 0
    for seed in range(250):
        rounds = logs(seed, 400, 400)
        found = [summed(str(i), snips(one), one, seed=0) for i, one in enumerate(rounds)]
        rows = compared(found, [logged(rounds[0], seed=0)], 0.9, seed=seed, replicates=300)
        at_once += all(row["low"] <= truth <= row["high"] for row, truth in zip(rows, truths, strict=False))
        gaps += all(row["low"] <= t - LOGGING @ MEAN <= row["high"] for row, t in zip(rows[4:], truths, strict=True))
        alone = [simultaneous([one], 0.9, seed=seed, replicates=300)[0] for one in found]
        singly += all(one.low <= truth <= one.high for one, truth in zip(alone, truths, strict=True))
    assert 0.85 <= at_once / 250 <= 0.96
    assert 0.85 <= gaps / 250 <= 0.96
    assert singly < at_once


def test_a_difference_is_paired():
    rounds = logs(0)
    found = [summed("one", ips(rounds[0]), rounds[0], seed=0), summed("two", ips(rounds[1]), rounds[1], seed=0)]
    (gap,) = simultaneous(found, 0.95, seed=1, contrasts=np.array([[1.0, -1.0]]), replicates=4_000)
    phi = ips(rounds[0]).contributions - ips(rounds[1]).contributions
    assert gap.standard_error == pytest.approx(cluster_error(phi, rounds[0]), rel=0.05)
    assert (gap.low + gap.high) / 2 == pytest.approx(phi.mean())
    same = simultaneous([found[0], found[0]], 0.95, seed=1, contrasts=np.array([[1.0, -1.0]]))
    assert (same[0].low, same[0].high) == (0, 0)


def test_each_reference_has_its_own_differences():
    rounds = logs(4)
    found = [summed(str(i), snips(one), one, seed=0) for i, one in enumerate(rounds)]
    served = logged(rounds[0], seed=0)
    rows = compared(found, [served, found[1]], 0.9, seed=0)
    assert [row["reference"] for row in rows] == [None] * 4 + ["logging"] * 4 + ["1"] * 3
    assert [row["target_policy"] for row in rows[8:]] == ["0", "2", "3"]
    values = {row["target_policy"]: row["value"] for row in rows[:4]}
    for row in rows[8:]:
        assert row["value"] == pytest.approx(values[row["target_policy"]] - values["1"])
        assert (row["low"] + row["high"]) / 2 == pytest.approx(row["value"])
    assert compared(found, [served], 0.9, seed=0) == rows[:8]
    assert len(compared(found[1:2], [found[1]], 0.9, seed=0)) == 1  # a policy alone has no difference to itself


def test_the_policy_that_served_earns_no_more_than_it_did():
    (row, gap) = compared([served := logged(logs(5)[0], seed=0)], [logged(logs(5)[0], seed=0)], 0.9, seed=0)
    assert row["value"] == served.value
    assert (gap["value"], gap["low"], gap["high"]) == (0, 0, 0)


def test_what_served_is_the_same_whatever_a_policy_predicts():
    rounds = logs(6)[0]
    predicted = replace(rounds, q_hat=rounds.rewards / 2, q_hat_target=rounds.rewards / 3)
    assert np.array_equal(logged(predicted, seed=0).units, logged(rounds, seed=0).units)


def test_sums_alone_compare_alike():
    rounds = logs(1, users=40)
    stats = [Stats.of(one) for one in rounds]
    whole = compared([summed("a", snips(one), one, seed=0) for one in rounds], [logged(rounds[0], seed=0)], 0.9, seed=0)
    sums = compared([summed_stats("a", "snips", one) for one in stats], [logged_stats(stats[0])], 0.9, seed=0)
    for one, two in zip(whole, sums, strict=True):
        assert one["value"] == pytest.approx(two["value"])
        assert one["standard_error"] == pytest.approx(two["standard_error"], rel=0.15)
    for log in (logged_stats(stats[0]), logged(rounds[0], seed=0)):
        assert log.value == pytest.approx(rounds[0].reward.mean())
        assert value_of(log.base, log.units.sum(axis=0) / log.requests.sum()) == pytest.approx(log.value)


def test_what_cannot_be_compared_is_refused():
    rounds, other = logs(2)[0], logs(3, users=150)[0]
    with pytest.raises(InputError, match="users differ"):
        simultaneous([summed("a", ips(one), one, seed=0) for one in (rounds, other)], 0.9, seed=0)
    with pytest.raises(InputError, match="no policy"):
        simultaneous([], 0.9, seed=0)
    with pytest.raises(InputError, match="cannot be resampled"):
        summed("a", beta_ips(rounds), rounds, seed=0)
    alone = Rounds.of(np.ones(4), np.ones(4), np.ones(4), cluster=np.zeros(4))
    assert np.isnan(simultaneous([summed("a", ips(alone), alone, seed=0)], 0.9, seed=0)[0].low)


def test_every_interval_is_as_many_errors_wide_and_divides_by_its_own_requests():
    rounds = logs(4, users=50)
    found = [summed("a", snips(one), one, seed=0) for one in rounds]
    gaps = [(one.high - one.low) / one.standard_error for one in simultaneous(found, 0.9, seed=0)]
    assert gaps == pytest.approx(gaps[:1] * 4)
    same = Rounds.of(
        np.ones(30), np.full(30, 0.5), np.full(30, 0.5), cluster=np.repeat(np.arange(5), [1, 2, 3, 10, 14])
    )
    (certain,) = simultaneous([summed("a", ips(same), same, seed=0)], 0.9, seed=0)
    assert (certain.low, certain.high) == pytest.approx((1, 1))


def test_rankings():
    true = np.array([0.1, 0.2, 0.3, 0.4])
    right = ranking(2 * true, true, 2, safe=0.25, logging_value=0.2)
    assert (right.spearman, right.kendall, right.regret, right.violations) == pytest.approx((1, 1, 0, 0))
    assert right.sharpe == pytest.approx((0.4 - 0.2) / np.std([0.3, 0.4], ddof=1))
    wrong = ranking(-true, true, 1, safe=0.25, logging_value=0.2)
    assert (wrong.spearman, wrong.kendall, wrong.regret, wrong.violations) == pytest.approx((-1, -1, 0.3, 1))
    assert wrong.false_alarms == 1
    assert wrong.misses == 0
    assert np.isnan(wrong.sharpe)
    tied = ranking(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0]), 1, safe=0.0, logging_value=0.0)
    assert tied.spearman == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])
    assert tied.kendall == pytest.approx(2 / np.sqrt(6))
    assert np.isnan(tied.misses)  # no policy is unsafe
    g = np.random.default_rng(7)
    estimated, truth = g.integers(0, 5, (2, 12)) ** 2.0  # far from linear, many equal
    found = ranking(estimated, truth, 3, safe=0.0, logging_value=0.0)
    assert found.spearman == pytest.approx(spearmanr(estimated, truth).statistic)
    assert found.kendall == pytest.approx(kendalltau(estimated, truth).statistic)
    assert np.isnan(ranking(np.ones(3), true[:3], 1, safe=0.0, logging_value=0.0).spearman)


def test_a_policy_without_a_value_costs_the_others_nothing():
    one, *_ = logs(3)
    nowhere = replace(one, target_probability=np.zeros_like(one.target_probability))
    served = logged(one, seed=0)
    good, lost = (summed(name, snips(each), each, seed=0) for name, each in (("good", one), ("lost", nowhere)))
    alone, both = (compared(found, [served], 0.9, seed=0) for found in ([good], [good, lost]))
    assert [row for row in both if row["target_policy"] == "good"] == alone
    assert all(np.isnan(row["low"]) for row in both if row["target_policy"] == "lost")
