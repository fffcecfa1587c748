import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rlrec.errors import InputError
from rlrec.ope.estimators import beta_ips, dr, ips, snips
from rlrec.ope.intervals import bootstrap, clustered
from rlrec.ope.models import (
    Choices,
    balanced_ips,
    classifier,
    cross_fitted,
    folds_of_time,
    folds_of_users,
    least_squares,
    linear,
    more_robust,
    switch,
)
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import random_rounds
from tests.ope.worlds import TWO_CONTEXTS as WORLD

CONTEXTS, ACTIONS = WORLD.mean.shape


def world(count: int, seed: int, users: int | None = None) -> tuple[Rounds, Choices]:
    """A log with one feature per pair (context, action): any reward function is linear in them."""
    g = np.random.default_rng(seed)
    context = g.integers(CONTEXTS, size=count)
    depth = WORLD.logging.cumsum(axis=1)[context]
    action = (g.random(count)[:, None] > depth).sum(axis=1)
    reward = (g.random(count) < WORLD.mean[context, action]).astype(float)
    given = {} if users is None else {"cluster": g.integers(0, users, count)}
    pairs = np.eye(CONTEXTS * ACTIONS).reshape(CONTEXTS, ACTIONS, -1)[context]
    return WORLD.rounds(context, action, reward, None, **given), Choices(pairs, WORLD.target[context], action)


class Oracle:
    """A classifier that knows c = w/(1 + w)."""

    def fit(self, X, y, sample_weight=None):
        return self

    def predict_proba(self, X):
        weight = (WORLD.target / WORLD.logging).reshape(-1)[np.argmax(X, axis=1)]
        return np.column_stack((1 / (1 + weight), weight / (1 + weight)))


def test_folds_hold_out_whole_users_and_stretches_of_time():
    rounds, _ = world(500, 0, users=60)
    fold = folds_of_users(rounds, 5)
    for user in range(rounds.clusters):
        assert len(set(fold[rounds.cluster == user])) == 1
    assert set(fold) == set(range(5))
    at = np.array([5, 1, 1, 1, 9, 7])
    np.testing.assert_array_equal(folds_of_time(at, 2), [1, 0, 0, 0, 1, 1])
    assert set(folds_of_time(np.zeros(10_000), 4)) == {0}  # one instant cannot be divided


def test_no_row_is_predicted_by_a_model_that_saw_its_user():
    rounds, choices = world(400, 1, users=40)
    fold = folds_of_users(rounds, 4)
    fitted = cross_fitted(rounds, choices, fold, least_squares())
    held = fold == 2
    changed = Rounds.of(
        np.where(held[:, None], 1 - rounds.reward, rounds.reward),
        rounds.propensity,
        rounds.target_probability,
        cluster=rounds.cluster,
    )
    again = cross_fitted(changed, choices, fold, least_squares())
    np.testing.assert_array_equal(again.q_hat[held], fitted.q_hat[held])
    assert not np.allclose(again.q_hat[~held], fitted.q_hat[~held])


def test_least_squares_predicts_the_means_of_the_other_folds():
    rounds, choices = world(600, 2)
    fold = folds_of_users(rounds, 3)
    fitted = cross_fitted(rounds, choices, fold, least_squares(ridge=0.0))
    kind = choices.shown.argmax(axis=1)
    means = np.array([rounds.reward[(fold != 0) & (kind == k), 0].mean() for k in range(CONTEXTS * ACTIONS)])
    np.testing.assert_allclose(fitted.q_hat[fold == 0, 0], means[kind[fold == 0]])
    expected = (choices.pairs @ means * choices.target).sum(axis=1)
    np.testing.assert_allclose(fitted.q_hat_target[fold == 0, 0], expected[fold == 0])


def test_a_classifier_predicts_the_click_rates_and_copes_with_none():
    rounds, choices = world(4_000, 8)
    fitted = cross_fitted(rounds, choices, folds_of_users(rounds, 2), classifier(LogisticRegression(C=1e6)))
    np.testing.assert_allclose(fitted.q_hat[:, 0], WORLD.mean.reshape(-1)[choices.shown.argmax(axis=1)], atol=0.08)
    never = Rounds.of(0 * rounds.reward, rounds.propensity, rounds.target_probability)
    silent = cross_fitted(never, choices, folds_of_users(rounds, 2), classifier(LogisticRegression()))
    assert not silent.q_hat.any()


def test_more_robust_minimises_the_variance_of_dr_itself():
    rounds, choices = world(800, 3, users=120)
    coarse = Choices(choices.pairs.reshape(800, ACTIONS, CONTEXTS, ACTIONS).sum(axis=2), choices.target, choices.action)

    def with_theta(theta: np.ndarray) -> Rounds:
        q, q_target = (coarse.shown @ theta)[:, None], (coarse.expected @ theta)[:, None]
        return Rounds.of(
            rounds.reward,
            rounds.propensity,
            rounds.target_probability,
            q_hat=q,
            q_hat_target=q_target,
            cluster=rounds.cluster,
        )

    predict = more_robust(ridge=0.0)(rounds, coarse)
    best = predict(np.eye(ACTIONS))

    def error(theta: np.ndarray) -> float:
        return clustered(dr(with_theta(theta)), rounds, 0.95).standard_error

    squares = least_squares(ridge=0.0)(rounds, coarse)(np.eye(ACTIONS))
    assert error(best) < error(squares)
    for step in 0.05 * np.eye(ACTIONS):
        assert error(best) <= min(error(best + step), error(best - step))


def test_more_robust_with_a_constant_is_beta_ips():
    rounds, choices = world(300, 4, users=80)
    constant = Choices(np.ones((300, ACTIONS, 1)), choices.target, choices.action)
    beta = more_robust(ridge=0.0)(rounds, constant)(np.ones((1, 1)))[0]
    assert beta == pytest.approx(beta_ips(rounds).parameter)


@pytest.mark.parametrize("fit", [least_squares(), more_robust(), classifier(LogisticRegression())])
def test_cross_fitted_dr_is_unbiased_and_its_interval_covers(fit):
    hits, values = [], []
    for seed in range(150):
        rounds, choices = world(300, 100 + seed)
        fitted = cross_fitted(rounds, choices, folds_of_users(rounds, 3, seed), fit)
        interval = clustered(dr(fitted), fitted, 0.95)
        hits.append(interval.low <= WORLD.value <= interval.high)
        values.append(dr(fitted).value)
    assert abs(np.mean(values) - WORLD.value) < 4 * np.std(values) / np.sqrt(len(values))
    assert 0.89 <= np.mean(hits) <= 0.99


def test_switch_is_ips_and_the_model_at_its_ends_and_between_them_bends_only_heavy_actions():
    rounds, choices = world(300, 9)
    g, context = np.random.default_rng(9), choices.shown.argmax(axis=1) // ACTIONS
    logging, q = WORLD.logging[context], g.random((300, ACTIONS))
    np.testing.assert_allclose(switch(rounds, choices, logging, q, np.inf).contributions, ips(rounds).contributions)
    direct = (choices.target * q).sum(axis=1)
    np.testing.assert_allclose(switch(rounds, choices, logging, q, 0.0).contributions, direct)
    true = WORLD.mean[context]
    values = [switch(*world(300, seed), *told(seed), 1.2).value for seed in range(200)]
    assert abs(np.mean(values) - WORLD.value) < 4 * np.std(values) / np.sqrt(200)
    unsupported = np.where(np.arange(ACTIONS) == 2, 0.0, logging)
    found = switch(rounds, choices, unsupported, true, np.inf)  # an action never logged has infinite weight: not > ∞
    assert found.value == pytest.approx(ips(rounds).value)


def told(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The logger and a right model, for the contexts of a world."""
    _, choices = world(300, seed)
    context = choices.shown.argmax(axis=1) // ACTIONS
    return WORLD.logging[context], WORLD.mean[context]


def test_switch_asks_the_model_about_actions_that_the_logger_never_takes():
    rounds = Rounds.of(np.ones(4), np.ones(4), np.full(4, 0.25))
    choices = Choices(np.zeros((4, 2, 1)), np.tile([0.25, 0.75], (4, 1)), np.zeros(4, dtype=int))
    logging, q = np.tile([1.0, 0.0], (4, 1)), np.tile([5.0, 2.0], (4, 1))
    assert switch(rounds, choices, logging, q, 10.0).value == pytest.approx(0.25 * 1 + 0.75 * 2)


def test_features_are_expected_under_the_target():
    _, choices = world(50, 21)
    expected = sum(choices.target[:, [a]] * choices.pairs[:, a] for a in range(ACTIONS))
    np.testing.assert_allclose(choices.expected, expected)


def test_a_ridge_weighs_as_much_in_a_long_log_as_in_a_short_one():
    g = np.random.default_rng(20)
    features, outcome = g.normal(size=(30, 3)), g.normal(size=30)
    short, long = linear(features, outcome, 0.5), linear(np.tile(features, (4, 1)), np.tile(outcome, 4), 0.5)
    np.testing.assert_allclose(long(np.eye(3)), short(np.eye(3)))
    theta = np.linalg.solve(features.T @ features + 0.5 * 30 * np.eye(3), features.T @ outcome)
    np.testing.assert_allclose(short(np.eye(3)), theta)


def test_balanced_with_a_perfect_classifier_is_snips_and_its_bootstrap_keeps_the_weights():
    rounds, choices = world(500, 5)
    fold = folds_of_users(rounds, 4)
    found = balanced_ips(rounds, choices, fold, Oracle())
    assert found.value == pytest.approx(snips(rounds).value)
    np.testing.assert_allclose(found.contributions, snips(rounds).contributions)
    twisted = Rounds.of(rounds.reward, np.full(500, 0.5), rounds.target_probability)  # propensities are not read
    again = balanced_ips(twisted, choices, fold, Oracle())
    assert again.value == pytest.approx(found.value)
    one, two = (bootstrap([e], r, 0.95, seed=0)[0] for e, r in ((again, twisted), (snips(rounds), rounds)))
    assert (one.low, one.high) == pytest.approx((two.low, two.high))


def test_balanced_with_a_fitted_classifier_comes_close():
    rounds, choices = world(8_000, 6)
    found = balanced_ips(rounds, choices, folds_of_users(rounds, 2), LogisticRegression(C=1e6))
    assert found.value == pytest.approx(snips(rounds).value, abs=0.02)


def test_slates_and_single_folds_are_refused():
    _, choices = world(40, 7)
    with pytest.raises(InputError, match="single actions"):
        cross_fitted(random_rounds(0, count=40, k=2), choices, np.arange(40) % 2, least_squares())
    with pytest.raises(InputError, match="two folds"):
        cross_fitted(random_rounds(0, count=40), choices, np.zeros(40, dtype=int), least_squares())
