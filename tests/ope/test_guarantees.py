import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.bounds import Pilot
from rlrec.ope.curve import curve
from rlrec.ope.guarantees import betting, truncated
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import columns_of, random_rounds
from tests.ope.worlds import TWO_CONTEXTS

LARGEST = float((TWO_CONTEXTS.target / TWO_CONTEXTS.logging).max())


@pytest.mark.parametrize("method", [truncated, betting])
def test_both_cover_at_small_samples_and_shrink(method):
    g = np.random.default_rng(0)
    widths = {}
    for count in (100, 10_000):
        repeats = 400 if count == 100 else 20
        found = [method(TWO_CONTEXTS.sample(count, g, reward_range=(0.0, 1.0)), 0.9) for _ in range(repeats)]
        assert np.mean([one.low <= TWO_CONTEXTS.value <= one.high for one in found]) >= 0.9
        widths[count] = np.mean([one.high - one.low for one in found])
    assert widths[10_000] < widths[100] / 4


def test_heavy_weights_that_void_bernstein_leave_these_two_valid():
    """One action in two hundred carries a weight of a hundred: most logs of fifty rows have not met it."""
    g, truth, hits = np.random.default_rng(1), 0.5 * 1.0 + 0.5 * 0.2, {"truncated": [], "betting": []}
    for _ in range(300):
        rare = g.random(50) < 0.005
        reward = np.where(rare, 1.0, (g.random(50) < 0.2).astype(float))
        rounds = Rounds.of(reward, np.where(rare, 0.005, 0.995), np.full(50, 0.5), reward_range=(0.0, 1.0))
        for method in (truncated, betting):
            one = method(rounds, 0.9)
            hits[one.method].append(one.low <= truth <= one.high)
    assert all(np.mean(hit) >= 0.9 for hit in hits.values())


@pytest.mark.parametrize("users", [2_000, 700])
def test_the_truncated_bound_is_the_formula_on_the_users_it_kept(users):
    g = np.random.default_rng(2)
    cluster = np.append(np.arange(users), g.integers(0, users, 2_000 - users))
    rounds = TWO_CONTEXTS.sample(2_000, g, reward_range=(0.0, 1.0), cluster=cluster)
    kept = ~Pilot.of(rounds).user
    z = rounds.per_cluster((rounds.weights * rounds.rewards)[:, 0])[kept] / rounds.cluster_sizes[kept].mean()
    log = np.log(2 / 0.025)
    bounds = [
        y.mean() - 7 * c * log / (3 * (len(z) - 1)) - np.sqrt(2 * y.var(ddof=1) * log / len(z))
        for c in np.linspace(0.01, 2 * z.max(), 5_000)
        for y in [np.minimum(z, c)]
    ]
    low = truncated(rounds, 0.95).low
    assert low <= max(bounds) + 1e-9
    assert low == pytest.approx(max(bounds), rel=0.1)  # the pilot chose well


def test_users_set_aside_choose_the_cap_and_without_their_weight_there_is_none():
    rounds = TWO_CONTEXTS.sample(2_000, np.random.default_rng(6), reward_range=(0.0, 1.0))
    idle = np.where(Pilot.of(rounds).request[:, None], 0.0, rounds.target_probability)
    assert truncated(rounds, 0.9).low > 0
    assert truncated(Rounds.of(rounds.reward, rounds.propensity, idle, reward_range=(0.0, 1.0)), 0.9).low == 0


def test_betting_ends_where_a_gambler_who_sees_users_one_by_one_would_just_be_rich():
    g = np.random.default_rng(7)
    cluster = g.permutation(120)[np.append(np.arange(120), g.integers(0, 120, 280))]
    rounds = TWO_CONTEXTS.sample(400, g, reward_range=(0.0, 1.0), cluster=cluster)
    users = list(dict.fromkeys(rounds.cluster.tolist()))  # by their first request
    rich = np.log(2 / 0.1)

    def richest(v: float, paid: np.ndarray) -> float:
        wealth, best, won, rows, spread = 0.0, -np.inf, 0.5, 1.0, 0.25
        for seen, user in enumerate(users, start=1):
            z, m = paid[rounds.cluster == user].sum(), np.sum(rounds.cluster == user)
            bet = np.sqrt(2 * rich / (spread * np.log1p(seen)))
            wealth += np.log1p(min(bet, 0.5 / (v * m)) * (z - v * m))
            best = max(best, wealth)
            won, rows = won + z, rows + m
            spread += (z - won / rows * m) ** 2
        return best

    found = betting(rounds, 0.9)
    for end, reward in ((found.low, rounds.reward), (1 - found.high, 1 - rounds.reward)):
        paid = (rounds.weights * reward)[:, 0]
        assert 0 < end < 1
        assert richest(end - 1e-6, paid) >= rich > richest(end + 1e-6, paid)


def test_betting_holds_at_every_look_and_remembers_what_it_refuted():
    g = np.random.default_rng(3)
    whole = TWO_CONTEXTS.sample(1_000, g, reward_range=(0.0, 1.0))

    def part(count: int) -> Rounds:
        columns = (getattr(whole, name)[:count] for name in ("reward", "propensity", "target_probability"))
        return Rounds.of(*columns, reward_range=(0.0, 1.0))

    looks = [betting(part(count), 0.9) for count in range(100, 1_001, 100)]
    assert np.all(np.diff([one.low for one in looks]) >= -1e-12)
    assert np.all(np.diff([one.high for one in looks]) <= 1e-12)
    missed = 0
    for _ in range(200):
        one = betting(TWO_CONTEXTS.sample(500, g, reward_range=(0.0, 1.0)), 0.9)
        missed += not one.low <= TWO_CONTEXTS.value <= one.high  # its ends are the tightest of all looks so far
    assert missed <= 20


@pytest.mark.parametrize("method", [truncated, betting])
def test_affine_rewards_and_several_positions(method):
    g = np.random.default_rng(4)
    mask = g.random((200, 2)) > 0.3
    mask[:, 0] = True
    reward = g.uniform(size=(200, 2))
    rounds = random_rounds(4, count=200, k=2, mask=mask, reward=reward, reward_range=(0.0, 1.0))
    plain = method(rounds, 0.9)
    moved = method(random_rounds(4, count=200, k=2, mask=mask, reward=3 * reward - 1, reward_range=(-1.0, 2.0)), 0.9)
    shown = mask.sum() / 200
    assert (moved.low, moved.high) == pytest.approx((3 * plain.low - shown, 3 * plain.high - shown))


@pytest.mark.parametrize("method", [truncated, betting])
def test_without_weight_or_range(method):
    rounds = random_rounds(5, reward=np.full((40, 1), 0.5), target_probability=np.zeros((40, 1)))
    with pytest.raises(InputError, match="declared reward range"):
        method(rounds, 0.9)
    vacuous = method(Rounds.of(**columns_of(rounds), reward_range=(0.0, 1.0)), 0.9)
    assert (vacuous.low, vacuous.high) == pytest.approx((0, 1))


@pytest.mark.parametrize("idle", [False, True])
def test_a_bias_bound_without_a_largest_weight_is_that_of_a_cap_chosen_by_users_who_leave_it(idle):
    heavy = np.random.default_rng(8).random(4_000) < 0.02
    p, target = np.where(heavy, 0.02, 0.98), np.where(heavy, 0.4, 0.6)
    rounds = Rounds.of(np.zeros(4_000), p, target, reward_range=(0.0, 1.0))
    pilot = Pilot.of(rounds).request
    if idle:  # users without weight see no reason for a cap above 1
        rounds = Rounds.of(np.zeros(4_000), p, np.where(pilot, 0.0, target), reward_range=(0.0, 1.0))
    found = curve(rounds, "ips", "clip", parameters=np.array([np.inf]))["bias_bound"][0]
    w, log = rounds.weights[~pilot, 0], np.log(2 / 0.05)
    bounds = [
        1 - y.mean() + np.sqrt(2 * y.var(ddof=1) * log / len(w)) + 7 * cap * log / (3 * (len(w) - 1))
        for cap in ([1.0] if idle else np.geomspace(1, 20, 200))
        for y in [np.minimum(w, cap)]
    ]
    assert min(bounds) - 1e-9 <= found <= 1.05 * min(bounds)
