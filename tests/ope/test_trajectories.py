"""A Markov chain of two states whose every trajectory can be listed, each as often as its probability says."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import dr, ips, snips
from rlrec.ope.intervals import clustered
from rlrec.ope.models import linear
from rlrec.ope.rounds import Rounds
from rlrec.ope.trajectories import Trajectories, fitted_q, marginal_ratios, minimax_weights, trusted_steps

STEPS, DISCOUNT = 3, 0.9
START = np.array([0.5, 0.5])
MOVES = np.array([[[0.5, 0.25], [0.25, 0.25]], [[0.25, 0.75], [0.5, 0.25]]])  # state, action -> state; the rest ends
LOGGING = np.array([[0.5, 0.5], [0.25, 0.75]])
TARGET = np.array([[0.2, 0.8], [0.7, 0.3]])
REWARD = np.array([[1.0, -0.5], [0.3, 2.0]])
LISTED = 2**15  # a multiple of every trajectory's denominator


def value() -> float:
    """Of the target policy, by the Bellman equation over three steps."""
    ahead = np.zeros(2)
    for _ in range(STEPS):
        ahead = (TARGET * (REWARD + DISCOUNT * MOVES @ ahead)).sum(axis=1)
    return float(START @ ahead)


@cache
def every() -> tuple[Trajectories, np.ndarray, np.ndarray]:
    """All trajectories, repeated in proportion to their probability; states and actions."""
    rows: list[tuple[float, list[int], list[int]]] = []

    def grow(probability: float, states: list[int], actions: list[int]) -> None:
        for action in range(2):
            here = probability * LOGGING[states[-1], action]
            done = [*actions, action]
            stays = MOVES[states[-1], action] if len(done) < STEPS else np.zeros(2)
            if (ends := 1 - stays.sum()) > 0:
                rows.append((here * ends, states, done))
            for state in range(2):
                if stays[state] > 0:
                    grow(here * stays[state], [*states, state], done)

    for state in range(2):
        grow(START[state], [state], [])
    times = np.array([round(p * LISTED) for p, _, _ in rows])
    assert times.sum() == LISTED
    length = np.repeat([len(states) for _, states, _ in rows], times)
    mask = np.arange(STEPS) < length[:, None]
    padded = ([one[part] + [0] * (STEPS - len(one[part])) for one in rows] for part in (1, 2))
    state, action = (np.repeat(part, times, axis=0) for part in padded)
    given = (REWARD[state, action], LOGGING[state, action], TARGET[state, action], mask)
    return Trajectories(*given, discount=DISCOUNT), state, action


def features(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One feature per step, state and action; the target's probabilities."""
    step = np.broadcast_to(np.arange(STEPS), state.shape)
    pairs = np.eye(STEPS * 4).reshape(STEPS, 2, 2, -1)[step, state]
    return pairs, TARGET[state]


def tabular(rows: np.ndarray, outcome: np.ndarray):
    return linear(rows, outcome, 1e-14)


def test_weights_by_trajectory_and_by_step_are_exactly_unbiased():
    log, _, _ = every()
    for rounds in (log.whole(), log.stepwise()):
        assert ips(rounds).value == pytest.approx(value(), rel=1e-12)
        np.testing.assert_allclose(rounds.weights.mean(axis=0), 1.0)
    assert ips(log.stepwise()).contributions.std() < ips(log.whole()).contributions.std()
    assert snips(log.stepwise()).value == pytest.approx(value(), rel=1e-12)  # weights average to 1 on this log


def test_normalised_forms_divide_by_all_trajectories_ended_ones_included():
    log, _, _ = every()
    some = Trajectories(
        *(getattr(log, name)[::97] for name in ("reward", "propensity", "target_probability", "mask")),
        discount=DISCOUNT,
    )
    rho = some.ratios.cumprod(axis=1)
    reward = np.where(some.mask, some.reward, 0) * DISCOUNT ** np.arange(STEPS)
    assert snips(some.stepwise()).value == pytest.approx(
        sum((rho * reward)[:, t].sum() / rho[:, t].sum() for t in range(STEPS))
    )
    assert snips(some.whole()).value == pytest.approx((rho[:, -1:] * reward).sum() / rho[:, -1].sum())


@pytest.mark.parametrize("seed", range(2))
def test_doubly_robust_is_unbiased_whatever_the_model(seed):
    log, state, action = every()
    q = np.random.default_rng(seed).normal(size=(STEPS, 2, 2))[np.arange(STEPS), state]
    model = {
        "q_hat": np.take_along_axis(q, action[..., None], axis=2)[..., 0],
        "v_hat": (TARGET[state] * q).sum(axis=2),
    }
    assert ips(replace(log, **model).doubly_robust()).value == pytest.approx(value(), rel=1e-11)
    nothing = {name: np.zeros_like(values) for name, values in model.items()}
    blind = replace(log, **nothing)
    np.testing.assert_allclose(ips(blind.doubly_robust()).contributions, ips(blind.stepwise()).contributions)
    assert snips(blind.doubly_robust()).value == pytest.approx(snips(blind.stepwise()).value)


def test_fitted_q_solves_the_bellman_equation():
    log, state, action = every()
    fitted = fitted_q(log, *features(state), action, tabular)
    assert fitted.v_hat[:, 0].mean() == pytest.approx(value(), rel=1e-6)
    ahead = np.zeros(2)
    for step in reversed(range(STEPS)):
        q = REWARD + DISCOUNT * MOVES @ ahead
        ahead = (TARGET * q).sum(axis=1)
        here = log.mask[:, step]
        np.testing.assert_allclose(fitted.q_hat[here, step], q[state[here, step], action[here, step]], atol=1e-5)
    found = ips(fitted.doubly_robust())
    assert found.contributions.std() < ips(log.stepwise()).contributions.std()


def visits(policy: np.ndarray) -> np.ndarray:
    """P(s_t = s, a_t = a) under a policy, by step."""
    mass = [START]
    for _ in range(STEPS - 1):
        mass.append(np.einsum("s,sa,sax->x", mass[-1], policy, MOVES))
    return np.array(mass)[..., None] * policy


def test_marginal_ratios_are_those_of_the_state_distributions():
    log, state, action = every()
    found = marginal_ratios(log, state)
    exact = (visits(TARGET) / visits(LOGGING))[np.arange(STEPS), state, action]
    np.testing.assert_allclose(found[log.mask], exact[log.mask], rtol=1e-9)
    assert ips(log.stepwise(found)).value == pytest.approx(value(), rel=1e-9)
    assert ips(log.stepwise(found)).contributions.std() < ips(log.stepwise()).contributions.std()


def test_minimax_weights_are_the_marginal_ratios():
    log, state, action = every()
    found = minimax_weights(log, *features(state), action)
    np.testing.assert_allclose(found[log.mask], marginal_ratios(log, state)[log.mask], rtol=1e-9)
    assert (found[~log.mask] == 1).all()


def test_without_steps_in_the_features_minimax_weights_are_ratios_of_discounted_visits():
    """Trajectories that end by their state, not by their step; only 1 % are as long as the log."""
    g, count, longest = np.random.default_rng(2), 4_000, 40
    state, action = np.zeros((2, count, longest), dtype=np.int64)
    mask = np.zeros((count, longest), dtype=bool)
    here, lasts = g.integers(2, size=count), np.ones(count, dtype=bool)
    for step in range(longest):
        state[:, step], mask[:, step] = here, lasts
        action[:, step] = g.random(count) > LOGGING[here, 0]
        draw, moves = g.random(count), MOVES[here, action[:, step]].cumsum(axis=1)
        here, lasts = (draw > moves[:, 0]).astype(np.int64), lasts & (draw < moves[:, 1])
        here[~lasts] = 0
    assert mask[:, -1].mean() < 0.01
    given = (REWARD[state, action], LOGGING[state, action], TARGET[state, action], mask)
    log = Trajectories(*given, discount=DISCOUNT)
    found = minimax_weights(log, np.eye(4).reshape(2, 2, -1)[state], TARGET[state], action)
    visited = {}
    for name, policy in (("logging", LOGGING), ("target", TARGET)):
        onward = np.einsum("sa,sax->sx", policy, MOVES)
        visited[name] = np.linalg.solve(np.eye(2) - DISCOUNT * onward.T, START)[:, None] * policy
    exact = (visited["target"] / visited["logging"])[state, action]
    np.testing.assert_allclose(found[mask], exact[mask], rtol=0.1)
    estimate = ips(log.stepwise(found))
    error = estimate.contributions.std() / np.sqrt(count)
    assert abs(estimate.value - (visited["target"] * REWARD).sum()) < 4 * error


def test_minimax_weights_agree_with_the_recursion_and_need_no_feature_to_be_met():
    log, state, action = sampled(4_000, 1)
    pairs, target = features(state)
    spare = np.concatenate((pairs, np.zeros_like(pairs)), axis=-1)
    fold = np.arange(len(state)) % 2
    recursive, minimax = (
        ips(log.stepwise(weights))
        for weights in (marginal_ratios(log, state, fold), minimax_weights(log, spare, target, action, fold))
    )
    error = np.std(recursive.contributions) / np.sqrt(len(state))
    assert abs(recursive.value - minimax.value) < 3 * error
    assert abs(minimax.value - value()) < 4 * error
    unseen = minimax_weights(log, pairs, target, np.zeros_like(action))  # as if the other action were never logged
    assert np.isfinite(unseen).all()
    assert (unseen >= 0).all()


def test_minimax_weights_of_a_fold_are_learned_from_the_others_and_never_negative():
    log, state, action = sampled(400, 3)
    fold = np.arange(400) % 2
    pairs, target = features(state)
    own = fold == 0
    turned = np.where(own[:, None] & log.mask, 1 - action, action)
    one, other = (minimax_weights(log, pairs, target, taken, fold) for taken in (action, turned))
    met, step = own[:, None] & log.mask, np.broadcast_to(np.arange(STEPS), state.shape)
    before, after = (zip(step[met], state[met], taken[met], strict=True) for taken in (action, turned))
    known = dict(zip(before, one[met], strict=True))
    for place, weight in zip(after, other[met], strict=True):
        assert weight == pytest.approx(known.get(place, weight))
    poor = np.random.default_rng(0).normal(size=(*pairs.shape[:3], 2))
    found = minimax_weights(log, poor, target, action)
    assert (found >= 0).all()
    assert (found[log.mask] == 0).any()


def test_a_state_that_no_other_fold_met_keeps_the_trajectorys_own_product():
    ratio = np.array([[0.5, 2.0], [1.5, 0.4], [0.8, 1.2]])
    log = Trajectories(np.ones((3, 2)), np.full((3, 2), 0.5), ratio / 2, np.ones((3, 2), dtype=bool))
    found = marginal_ratios(log, np.array([[0, 1], [0, 1], [0, 9]]), np.array([0, 1, 1]))
    np.testing.assert_allclose(found[:, 0], ratio[:, 0])
    np.testing.assert_allclose(found[:, 1], [1.5 * 2.0, 0.5 * 0.4, 0.8 * 1.2])


def sampled(count: int, seed: int):
    log, state, action = every()
    rows = np.random.default_rng(seed).integers(LISTED, size=count)
    names = ("reward", "propensity", "target_probability", "mask")
    return Trajectories(*(getattr(log, n)[rows] for n in names), discount=DISCOUNT), state[rows], action[rows]


def test_cross_fitted_drl_is_unbiased_and_its_interval_covers():
    values, hits = [], []
    for seed in range(120):
        log, state, action = sampled(400, seed)
        fold = np.arange(400) % 2
        fitted = fitted_q(log, *features(state), action, lambda rows, goal: linear(rows, goal, 1e-6), fold)
        rounds = fitted.doubly_robust(marginal_ratios(log, state, fold))
        interval = clustered(ips(rounds), rounds, 0.95)
        values.append(ips(rounds).value)
        hits.append(interval.low <= value() <= interval.high)
    assert abs(np.mean(values) - value()) < 4 * np.std(values) / np.sqrt(len(values))
    assert np.mean(hits) >= 0.88


def test_one_step_is_the_bandit():
    g = np.random.default_rng(0)
    reward, p, target = g.normal(size=(50, 1)), g.uniform(0.1, 1, (50, 1)), g.uniform(0, 1, (50, 1))
    q, v = g.normal(size=(50, 1)), g.normal(size=(50, 1))
    log = Trajectories(reward, p, target, np.ones((50, 1), dtype=bool), q_hat=q, v_hat=v)
    plain = Rounds.of(reward, p, target, q_hat=q, q_hat_target=v)
    for rounds in (log.whole(), log.stepwise()):
        assert ips(rounds).value == pytest.approx(ips(plain).value)
        assert snips(rounds).value == pytest.approx(snips(plain).value)
    assert ips(log.doubly_robust()).value == pytest.approx(dr(plain).value)


def test_a_trajectorys_predictions_do_not_know_its_own_rewards():
    log, state, action = sampled(200, 0)
    fold = np.arange(200) % 2
    spoilt = replace(log, reward=log.reward + 5 * (fold == 0)[:, None])
    before, after = (
        fitted_q(one, *features(state), action, lambda rows, goal: linear(rows, goal, 1e-6), fold)
        for one in (log, spoilt)
    )
    np.testing.assert_array_equal(before.q_hat[fold == 0], after.q_hat[fold == 0])
    assert (before.q_hat[fold == 1] != after.q_hat[fold == 1]).any()


def test_normalised_steps_are_plain_ones_when_every_product_averages_to_one():
    log = every()[0]
    assert snips(log.stepwise()).value == pytest.approx(ips(log.stepwise()).value, rel=1e-12)
    halved = replace(log, target_probability=log.target_probability / 2).stepwise()
    assert snips(halved).value != pytest.approx(ips(halved).value)


def test_long_horizons_stay_finite_and_are_not_trusted():
    g = np.random.default_rng(1)
    shape = (200, 400)
    log = Trajectories(g.random(shape), np.full(shape, 0.01), g.uniform(0, 0.02, shape), np.ones(shape, dtype=bool))
    assert np.isfinite(ips(log.stepwise()).value)
    assert 0 < trusted_steps(log) < 20
    assert trusted_steps(every()[0]) == STEPS
    half = np.array([[0.5, 1.0, 0.5], [0.5, 0.0, 0.5]] * 20)  # 40 trajectories, of which 20 are left at the second step
    assert trusted_steps(Trajectories(half, np.full((40, 3), 0.5), half, np.ones((40, 3), dtype=bool))) == 1


def test_gaps_and_numbers_that_are_no_probabilities_are_refused():
    one, there = np.full((2, 3), 0.5), np.ones((2, 3), dtype=bool)
    gap = np.array([[True, False, True], [True, True, True]])
    for bad, says in (
        ({"mask": gap}, "OPE016"),
        ({"propensity": 0 * one}, "propensity is no probability"),
        ({"target_probability": 3 * one}, "target_probability is no probability"),
        ({"discount": 1.5}, "discount"),
    ):
        given = {"reward": one, "propensity": one, "target_probability": one, "mask": there} | bad
        with pytest.raises(InputError, match=says):
            Trajectories(**given)
    with pytest.raises(InputError, match="q_hat and v_hat"):
        Trajectories(one, one, one, there).doubly_robust()
