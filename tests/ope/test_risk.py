import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import snips
from rlrec.ope.risk import Distribution, distribution, risk_interval
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import random_rounds

LOGGING, TARGET = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])
PAYS = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])  # action -> rewards 0, 1, 5
POINTS = np.array([0.0, 1.0, 5.0])
TRUE = Distribution(POINTS, (TARGET @ PAYS).cumsum())


def log(count: int, seed: int) -> tuple[Rounds, np.ndarray]:
    g = np.random.default_rng(seed)
    action = g.choice(3, size=count, p=LOGGING)
    reward = POINTS[(g.random(count)[:, None] > PAYS.cumsum(axis=1)[action]).sum(axis=1).clip(max=2)]
    return Rounds.of(reward, LOGGING[action], TARGET[action]), action


def test_measures_are_their_definitions():
    d = Distribution(np.array([0.0, 1.0, 2.0, 10.0]), np.array([0.1, 0.5, 0.9, 1.0]))
    assert d.mean() == pytest.approx(0.4 + 0.8 + 1.0)
    assert d.variance() == pytest.approx(0.1 * 2.2**2 + 0.4 * 1.2**2 + 0.4 * 0.2**2 + 0.1 * 7.8**2)
    assert [d.quantile(share) for share in (0.05, 0.1, 0.5, 0.51, 1.0)] == [0, 0, 1, 2, 10]
    assert d.worst(0.2) == pytest.approx((0.1 * 0 + 0.1 * 1) / 0.2)
    assert d.worst(1.0) == pytest.approx(d.mean())
    assert d.spread() == pytest.approx(2.0 - 1.0)


def test_the_mean_of_the_distribution_is_snips_and_binary_rewards_follow_from_it():
    rounds = random_rounds(0, count=200)
    assert distribution(rounds).mean() == pytest.approx(snips(rounds).value)
    clicks = Rounds.of((rounds.reward > 0).astype(float), rounds.propensity, rounds.target_probability)
    rate = snips(clicks).value
    d = distribution(clicks)
    assert d.variance() == pytest.approx(rate * (1 - rate))
    assert d.worst(0.9) == pytest.approx(max(0.0, rate - 0.1) / 0.9)


def test_rows_of_the_target_itself_give_the_plain_distribution():
    g = np.random.default_rng(1)
    reward = g.exponential(size=101)
    d = distribution(Rounds.of(reward, np.full(101, 0.5), np.full(101, 0.5)))
    assert d.quantile(0.5) == pytest.approx(np.median(reward))
    assert d.worst(0.1) == pytest.approx(np.sort(reward)[:11] @ np.r_[np.ones(10), 0.1] / 10.1)


def test_doubly_robust_is_right_with_a_right_model_less_noisy_and_ordered():
    noise = {"plain": [], "robust": []}
    for seed in range(80):
        rounds, action = log(300, seed)
        known = PAYS.cumsum(axis=1)
        answers = known[action], np.tile(TARGET @ known, (300, 1))
        right = distribution(rounds, lambda _, told=answers: told)
        noise["plain"].append(distribution(rounds).cumulative[0] - TRUE.cumulative[0])
        noise["robust"].append(right.cumulative[0] - TRUE.cumulative[0])
    for gaps in noise.values():
        assert abs(np.mean(gaps)) < 4 * np.std(gaps) / np.sqrt(80)
    assert np.std(noise["robust"]) < np.std(noise["plain"])
    rounds, _ = log(50, 0)
    g = np.random.default_rng(2)
    wild = distribution(rounds, lambda points: (g.random((50, len(points))), g.random((50, len(points)))))
    assert (np.diff(wild.cumulative) >= 0).all()
    assert wild.cumulative[-1] == 1
    unruly = np.tile([2.0, -1.0, 0.3], (50, 1))
    np.testing.assert_array_equal(distribution(rounds, lambda _: (0 * unruly, unruly)).cumulative, [0, 1, 1])


def test_intervals_of_the_worst_part_cover():
    hits = []
    for seed in range(120):
        rounds, _ = log(400, 1_000 + seed)
        value, interval = risk_interval(rounds, lambda d: d.worst(0.6), 0.9, seed=seed, replicates=200)
        hits.append(interval.low <= TRUE.worst(0.6) <= interval.high)
        assert interval.low <= value <= interval.high
    assert 0.82 <= np.mean(hits) <= 0.97


def test_a_user_whose_rows_are_repeated_is_still_one_user():
    rounds, _ = log(100, 3)
    columns = (rounds.reward, rounds.propensity, rounds.target_probability, rounds.cluster[:, None])
    reward, p, target, cluster = (np.repeat(column[:, 0], 3) for column in columns)
    thrice = Rounds.of(reward, p, target, cluster=cluster)
    (value, once), (again, repeated) = (risk_interval(r, Distribution.mean, 0.9, seed=0) for r in (rounds, thrice))
    assert again == pytest.approx(value)
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high))


def test_no_weight_and_slates_are_refused():
    with pytest.raises(InputError, match="no row has weight"):
        distribution(random_rounds(0, target_probability=np.zeros((40, 1))))
    with pytest.raises(InputError, match="single actions"):
        distribution(random_rounds(0, k=2))
