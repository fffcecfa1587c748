import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import ips
from rlrec.ope.intervals import clustered
from rlrec.ope.planning import MIXTURES, plan, plan_of_stats
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats
from tests.ope.test_estimators import random_rounds
from tests.ope.worlds import TWO_CONTEXTS, Bandit


def test_a_log_as_long_as_planned_has_the_wanted_half_width():
    g = np.random.default_rng(0)
    (first,) = plan(TWO_CONTEXTS.sample(20_000, g), 0.02, shares=[0.0])
    long = TWO_CONTEXTS.sample(first.requests, g)
    interval = clustered(ips(long), long, 0.95)
    assert (interval.high - interval.low) / 2 == pytest.approx(0.02, rel=0.05)
    assert first.users == first.requests


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_exploration_is_foreseen_from_a_log_that_had_none(share):
    """Rewards are their means here, so the variance of a mixed logger is a sum over three actions."""
    world = Bandit(np.array([[0.9, 0.05, 0.05]]), np.array([[0.1, 0.2, 0.7]]), np.array([[0.2, 0.5, 0.7]]))
    (found,) = plan(world.exact(1_000), 0.01, shares=[share])
    mixed = (1 - share) * world.logging + share * world.target
    variance = (world.target**2 / mixed * world.mean**2).sum() - world.value**2
    assert found.requests == pytest.approx(variance * (1.959963984540054 / 0.01) ** 2, abs=1)
    assert found.requests < plan(world.exact(1_000), 0.01, shares=[0.0])[0].requests


def test_users_who_come_back_count_for_less():
    g = np.random.default_rng(1)
    taste = g.random(100)
    cluster = np.repeat(np.arange(100), 20)
    reward = (g.random(2_000) < taste[cluster]).astype(float)
    alone = Rounds.of(reward, np.full(2_000, 0.5), np.full(2_000, 0.5))
    again = Rounds.of(reward, np.full(2_000, 0.5), np.full(2_000, 0.5), cluster=cluster)
    one, two = (plan(rounds, 0.01, shares=[0.0])[0] for rounds in (alone, again))
    assert two.requests > 2 * one.requests
    assert two.users == pytest.approx(two.requests / 20, abs=1)


@pytest.mark.parametrize("k", [1, 2])
def test_sums_plan_what_rows_plan(k):
    rounds = random_rounds(0, k=k, cluster=np.arange(40) % 15)  # each of so few users has a shard of its own
    whole, sums = plan(rounds, 0.1), plan_of_stats(Stats.of(rounds, MIXTURES), 0.1)
    assert [one.exploration for one in sums] == [one.exploration for one in whole]
    assert [one.requests for one in sums] == pytest.approx([one.requests for one in whole], abs=1)
    assert {one.users for one in sums} == {None}


def test_slates_are_planned_without_exploration_and_nonsense_is_refused():
    assert [one.exploration for one in plan(random_rounds(0, k=2), 0.1)] == [0.0]
    rounds = random_rounds(0)
    for given in ({"half_width": 0.0}, {"half_width": 0.1, "shares": [1.0]}):
        with pytest.raises(InputError, match="positive half width"):
            plan(rounds, **given)
    with pytest.raises(InputError, match="positive half width"):
        plan_of_stats(Stats.of(rounds, MIXTURES), -1.0)
    with pytest.raises(InputError, match="one user"):
        plan(random_rounds(0, cluster=np.zeros(40)), 0.1)
