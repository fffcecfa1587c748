from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import fdtri

from rlrec.ope.likelihood import cressie_read, units_of
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import columns_of, random_rounds
from tests.ope.worlds import TWO_CONTEXTS

UNIT = (0.0, 1.0)


def answer(rounds: Rounds, level: float = 0.95, largest: float = np.inf):
    return cressie_read(units_of(rounds), float(rounds.reward.mean()), level, UNIT, largest)


def test_reference_values(reference, twelve):
    expected = reference["case1_inline_12_rows"]["expected"]["vw_estimators_0_2_2"]
    value, interval = answer(twelve)
    assert value == pytest.approx(expected["cressieread_point"], rel=1e-6)
    assert (interval.low, interval.high) == pytest.approx(expected["cressieread_ci_alpha05"], rel=1e-6)
    assert interval.validity == "asymptotic"


@pytest.mark.data
def test_a_log_without_support_says_nothing(data):
    """Two rows' worth of weight in ten thousand: the interval is the range of the reward, as vw-estimators says too."""
    log = pl.read_csv(data / "open-bandit" / "bts" / "women" / "women.csv.gz")
    rounds = Rounds.of(log["click"].to_numpy(), log["propensity_score"].to_numpy(), np.full(len(log), 1 / 46))
    _, interval = answer(rounds)
    assert (interval.low, interval.high) == (0, 1)


def test_the_ends_are_where_the_nearest_weights_are_as_far_as_allowed():
    """Solved anew as weighted least squares over the users and the one not seen, with clusters of unequal size."""
    g = np.random.default_rng(0)
    for seed, largest in ((1, 2.5), (2, 2.5), (3, 4.0), (0, 2.5), (0, 4.0)):
        rounds = TWO_CONTEXTS.sample(200, np.random.default_rng(seed), cluster=g.integers(0, 60, 200))
        _, interval = answer(rounds, largest=largest)
        units = units_of(rounds)
        typical = units.mean(axis=0)

        def distance(v: float | None, weight: float, reward: float, units=units, typical=typical) -> float:
            unseen = [typical[0], typical[1], weight * typical[1], weight * reward * typical[1]]
            all_of_them = np.vstack((units, unseen))
            rules = [np.ones(len(all_of_them)), all_of_them[:, 2] - all_of_them[:, 1]]
            wanted = [len(all_of_them), 0.0]
            if v is not None:
                rules, wanted = [*rules, all_of_them[:, 3] - v * all_of_them[:, 0]], [*wanted, 0.0]
            step, *_ = np.linalg.lstsq(np.array(rules), np.array(wanted) - np.sum(rules, axis=1), rcond=None)
            return float(step @ step)

        free = distance(None, largest if units[:, 2].sum() < units[:, 1].sum() else 0.0, 0.0)
        allowed = free + fdtri(1, len(units), 0.95)
        for end, reward in ((interval.low, 0.0), (interval.high, 1.0)):
            assert min(distance(end, weight, reward) for weight in (0.0, largest)) == pytest.approx(allowed, rel=1e-9)


@pytest.mark.parametrize(("count", "each"), [(200, 1), (2_000, 1), (1_000, 4)])
def test_intervals_cover_also_where_users_come_back(count, each):
    g = np.random.default_rng(count + each)
    bounded, hits = float((TWO_CONTEXTS.target / TWO_CONTEXTS.logging).max()), []
    for _ in range(600):
        rounds = TWO_CONTEXTS.sample(count, g, cluster=g.integers(0, count // each, count))
        hits.append(
            [
                one.low <= TWO_CONTEXTS.value <= one.high
                for one in (answer(rounds, largest=m)[1] for m in (bounded, np.inf))
            ]
        )
    close, safe = np.mean(hits, axis=0)
    assert 0.93 <= close <= 0.985
    assert safe >= close


def test_weight_that_was_never_met_earns_the_mean_reward():
    """Without a largest weight, what is missing to mean weight 1 is worth what the log's rows were worth."""
    rounds = TWO_CONTEXTS.sample(90, np.random.default_rng(2), cluster=np.repeat(np.arange(30), 3))
    light = Rounds.of(rounds.reward, rounds.propensity, rounds.target_probability / 2, cluster=rounds.cluster)
    missing = 1 - light.weights.mean()
    assert missing > 0
    expected = (light.weights * light.reward).mean() + missing * light.reward.mean()
    assert answer(light)[0] == pytest.approx(expected)


def test_of_slates_every_shown_row_is_expected_to_weigh_one():
    rounds = random_rounds(4, k=2, mask=np.arange(80).reshape(40, 2) % 6 != 1)
    same = replace(rounds, target_probability=rounds.propensity)
    value, _ = cressie_read(units_of(same), 0.0, 0.95, (-9.0, 9.0), 3.0)
    assert value == pytest.approx(rounds.rewards.sum(axis=1).mean())


def test_affine_rewards_move_value_and_ends_alike():
    rounds = TWO_CONTEXTS.sample(200, np.random.default_rng(3), cluster=np.arange(200) // 2)
    moved = Rounds.of(3 * rounds.reward - 1, rounds.propensity, rounds.target_probability, cluster=rounds.cluster)
    for largest in (2.5, np.inf):
        value, interval = answer(rounds, largest=largest)
        again, other = cressie_read(units_of(moved), float(moved.reward.mean()), 0.95, (-1.0, 2.0), largest)
        assert again == pytest.approx(3 * value - 1)
        assert (other.low, other.high) == pytest.approx((3 * interval.low - 1, 3 * interval.high - 1))
    nothing = Rounds.of(moved.reward, rounds.propensity, 0 * rounds.propensity, cluster=rounds.cluster)
    _, vacuous = cressie_read(units_of(nothing), 0.5, 0.95, (-1.0, 2.0))
    assert (vacuous.low, vacuous.high) == (-1.0, 2.0)


def test_repeated_rows_of_one_user_are_one_observation():
    rounds = TWO_CONTEXTS.sample(300, np.random.default_rng(0))
    twice = Rounds.of(**{k: np.concatenate((v, v)) for k, v in columns_of(rounds).items() if v is not None})
    assert twice.clusters == 300
    once, again = answer(rounds), answer(twice)
    assert again[0] == pytest.approx(once[0])
    assert (again[1].low, again[1].high) == pytest.approx((once[1].low, once[1].high))


def test_a_known_largest_weight_narrows_and_a_higher_level_widens():
    rounds = TWO_CONTEXTS.sample(300, np.random.default_rng(1))
    _, loose = answer(rounds)
    _, tight = answer(rounds, largest=2.5)
    _, wide = answer(rounds, 0.99)
    assert loose.low <= tight.low < tight.high <= loose.high
    assert wide.low < loose.low < loose.high < wide.high


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_degenerate_weights_end_inside_the_range(weight):
    rounds = Rounds.of(np.array([0.0, 1.0, 1.0]), np.full(3, 0.5), np.full(3, 0.5 * weight))
    value, interval = answer(rounds)
    assert 0 <= interval.low <= value <= interval.high <= 1
    assert value == pytest.approx(2 / 3)  # without a weight the log's own mean is all there is
