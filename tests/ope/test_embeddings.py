from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rlrec.errors import InputError
from rlrec.ope.embeddings import by_classifier, by_kind, by_likeness, chosen_likeness, marginal_density, offcem
from rlrec.ope.estimators import dm, dr, ips
from rlrec.ope.models import Choices, folds_of_users
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import random_rounds

ITEMS = 12
KIND = np.arange(ITEMS) % 3


class World:
    """Many items of three kinds; the kind decides the reward, but for `own`, what the item itself adds."""

    def __init__(self, own: float, seed: int = 0) -> None:
        g = np.random.default_rng(seed)
        self.logging, self.target = g.dirichlet(np.full(ITEMS, 0.6), size=2) * 0.98 + 0.02 / ITEMS
        self.mean = np.array([0.2, 0.5, 0.7])[KIND] + own * g.uniform(-0.15, 0.15, ITEMS)
        self.value = float(self.target @ self.mean)

    def log(self, count: int, seed: int) -> tuple[Rounds, Choices, np.ndarray]:
        g = np.random.default_rng(seed)
        action = g.choice(ITEMS, size=count, p=self.logging)
        reward = (g.random(count) < self.mean[action]).astype(float)
        logging, target = (np.tile(policy, (count, 1)) for policy in (self.logging, self.target))
        choices = Choices(np.tile(np.eye(ITEMS), (count, 1, 1)), target, action)
        return Rounds.of(reward, self.logging[action], self.target[action]), choices, logging

    def exact(self, weights: np.ndarray) -> float:
        """The expectation of w·r over the log."""
        return float(self.logging @ (weights * self.mean))


def test_a_kind_per_item_is_ips_and_one_kind_is_the_mean_reward():
    rounds, choices, logging = World(1.0).log(300, 0)
    alone = by_kind(rounds, choices.target, logging, np.arange(ITEMS), choices.action)
    np.testing.assert_allclose(ips(alone).contributions, ips(rounds).contributions)
    together = by_kind(rounds, choices.target, logging, np.zeros(ITEMS, dtype=int), choices.action)
    assert ips(together).value == pytest.approx(rounds.reward.mean())


def test_kinds_are_exactly_unbiased_without_direct_effects_and_less_noisy_and_biased_with_them():
    for own, right in ((0.0, True), (1.0, False)):
        world = World(own)
        each = np.array([world.target[k == KIND].sum() / world.logging[k == KIND].sum() for k in KIND])
        assert (abs(world.exact(each) - world.value) < 1e-12) == right
    rounds, choices, logging = World(0.0).log(2_000, 1)
    kinds = by_kind(rounds, choices.target, logging, KIND, choices.action)
    np.testing.assert_allclose(kinds.weights[:, 0], each_of(World(0.0))[choices.action])
    assert ips(kinds).standard_error < ips(rounds).standard_error


def each_of(world: World) -> np.ndarray:
    """The weight of every item's kind."""
    return np.array([world.target[k == KIND].sum() / world.logging[k == KIND].sum() for k in KIND])


def test_random_likeness_is_unbiased_when_it_decides_the_reward():
    world, g = World(0.0), np.random.default_rng(2)
    shape = g.dirichlet(np.ones(3), size=ITEMS)  # p(m | item)
    pays = np.array([0.1, 0.4, 0.9])
    weights = (world.target @ shape) / (world.logging @ shape)
    assert (world.logging @ shape) @ (weights * pays) == pytest.approx(world.target @ shape @ pays)
    seen = np.array([0, 2, 1])
    rounds, choices, logging = world.log(3, 0)
    made = by_likeness(rounds, choices.target, logging, shape[:, seen].T)
    np.testing.assert_allclose(made.weights[:, 0], weights[seen])


def test_a_classifier_of_the_item_finds_the_weights_of_its_kind():
    world = World(0.0)
    rounds, choices, logging = world.log(6_000, 3)
    features = np.eye(3)[KIND[choices.action]]
    found = by_classifier(
        rounds, choices.target, logging, features, choices.action, folds_of_users(rounds, 2), LogisticRegression(C=1e4)
    )
    np.testing.assert_allclose(found.weights[:, 0], each_of(world)[choices.action], rtol=0.1)


def test_a_classifier_does_not_know_the_actions_of_its_own_fold():
    rounds, choices, logging = World(0.0).log(600, 3)
    fold, features = folds_of_users(rounds, 2), np.eye(3)[KIND[choices.action]]
    other = np.where(fold == 0, choices.action[::-1], choices.action)
    before, after = (
        by_classifier(rounds, choices.target, logging, features, action, fold, LogisticRegression())
        for action in (choices.action, other)
    )
    np.testing.assert_array_equal(before.weights[fold == 0], after.weights[fold == 0])
    assert (before.weights[fold == 1] != after.weights[fold == 1]).any()


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_offcem_is_unbiased_where_kinds_alone_are_not(own):
    world = World(own)
    values, plain = [], []
    for seed in range(150):
        rounds, choices, logging = world.log(500, seed)
        fitted = offcem(rounds, choices, logging, KIND, folds_of_users(rounds, 2, seed), ridge=1e-3)
        values.append(dr(fitted).value)
        plain.append(ips(by_kind(rounds, choices.target, logging, KIND, choices.action)).value)
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - world.value) < 5 * error
    if own:
        assert abs(np.mean(plain) - world.value) > 5 * error


def test_offcem_learns_what_differs_inside_a_kind_and_then_its_level():
    """Rewards are ψ·θ plus a level of the kind, which ψ shares: differences within a kind alone give θ."""
    g = np.random.default_rng(8)
    level = np.array([0.0, 3.0, -2.0])[KIND]
    features = g.normal(size=(ITEMS, 2)) + level[:, None]
    paid = features @ np.array([0.5, -1.0]) + level
    rounds, choices, logging = World(0.0).log(400, 7)
    rounds = Rounds.of(paid[choices.action], rounds.propensity, rounds.target_probability)
    choices = Choices(np.tile(features, (400, 1, 1)), choices.target, choices.action)
    fitted = offcem(rounds, choices, logging, KIND, folds_of_users(rounds, 2), ridge=1e-12)
    np.testing.assert_allclose(fitted.residuals, 0, atol=1e-6)
    np.testing.assert_allclose(fitted.direct[:, 0], choices.target @ paid, atol=1e-6)


def test_offcem_with_a_kind_per_item_weighs_as_dr_and_with_one_kind_is_nearly_the_model():
    world = World(1.0)
    rounds, choices, logging = world.log(400, 5)
    fold = folds_of_users(rounds, 2)
    alone = offcem(rounds, choices, logging, np.arange(ITEMS), fold)
    np.testing.assert_allclose(alone.weights, rounds.weights)
    together = offcem(rounds, choices, logging, np.zeros(ITEMS, dtype=int), fold)
    assert dr(together).value == pytest.approx(dm(together).value + together.residuals.mean())
    assert abs(together.residuals.mean()) < 0.02


def test_mean_weights_of_equal_rewards_are_ips_itself_and_of_others_admit_what_they_were_fitted_on():
    rounds, _, _ = World(1.0).log(500, 6)
    np.testing.assert_allclose(marginal_density(rounds).contributions, ips(rounds).contributions)
    values, errors = [], []
    for seed in range(300):
        g = np.random.default_rng(seed)
        action = g.integers(2, size=400)
        graded = Rounds.of(action + g.normal(size=400), np.full(400, 0.5), np.where(action == 1, 0.9, 0.1))
        found = marginal_density(graded)
        values.append(found.value)
        errors.append(found.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_a_contribution_of_mdr_is_what_one_more_row_like_it_adds():
    g = np.random.default_rng(9)
    tiled = np.tile(np.arange(41), 500)
    columns = (g.normal(size=41), np.full(41, 0.5), g.uniform(0, 1, 41))
    found = marginal_density(Rounds.of(*(column[tiled] for column in columns)), bins=4)
    for row in range(0, 40, 7):
        more = np.append(tiled, row)
        again = marginal_density(Rounds.of(*(column[more] for column in columns)), bins=4)
        added = len(more) * (again.value - found.value)
        assert added == pytest.approx(found.contributions[row] - found.value, rel=0.01, abs=1e-3)


def test_a_declared_largest_weight_was_for_items_not_for_kinds():
    rounds, choices, logging = World(0.0).log(50, 0)
    declared = replace(rounds, max_weight=1e6)
    assert by_kind(declared, choices.target, logging, KIND, choices.action).max_weight is None


def test_slope_keeps_the_narrowest_likeness_that_agrees_with_the_wider_ones():
    rounds = [random_rounds(seed, count=50, reward=np.full((50, 1), 1.0)) for seed in range(1)]
    wide = rounds[0]
    narrow, wrong = (
        Rounds.of(np.full(50, value) + np.linspace(-spread, spread, 50), np.full(50, 0.5), np.full(50, 0.5))
        for value, spread in ((ips(wide).value, 0.5), (ips(wide).value + 9, 0.1))
    )
    assert chosen_likeness([narrow, wide]) == 0
    assert chosen_likeness([wrong, wide, narrow]) == 2
    with pytest.raises(InputError, match="nothing to choose"):
        chosen_likeness([])


def test_slates_are_refused():
    with pytest.raises(InputError, match="single actions"):
        marginal_density(random_rounds(0, k=2))
