import numpy as np
import pytest
from scipy.stats import genpareto

from rlrec.ope.diagnostics import diagnose, pareto_shape, weight_histogram
from rlrec.ope.estimators import dr, ips, snips
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import columns_of, random_rounds
from tests.ope.worlds import Bandit


def test_reference_values(reference, twelve):
    expected = reference["case1_inline_12_rows"]["expected"]["diagnostics"]
    seen = diagnose(twelve)
    assert seen.effective_sample_size == pytest.approx(expected["ess"], rel=1e-9)
    assert seen.effective_share == pytest.approx(expected["ess_frac"], rel=1e-9)
    assert seen.max_row_share == pytest.approx(expected["max_w_share"], rel=1e-9)
    assert seen.max_weight == pytest.approx(expected["max_w"], rel=1e-9)
    assert twelve.weights.min() == expected["min_w"]
    assert twelve.weights.sum() == pytest.approx(expected["sum_w"], rel=1e-9)
    assert seen.rows == expected["n"]
    assert seen.mean_weight == pytest.approx(expected["mean_w"], rel=1e-9)
    assert seen.mean_weight_z == pytest.approx(expected["mean_w_z"], rel=1e-9)
    assert np.isnan(seen.k_hat)


def test_pooled_and_single_positions():
    rounds = random_rounds(0, k=3)
    w = rounds.weights
    seen = diagnose(rounds)
    assert seen.rows == w.size
    assert seen.effective_sample_size == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert seen.effective_by_position == pytest.approx(w.sum(axis=0) ** 2 / (w**2).sum(axis=0))
    assert seen.effective_share == pytest.approx(seen.effective_sample_size / w.size)
    assert seen.second_moment == pytest.approx((w**2).mean())
    errors = [cluster_error(estimator(rounds).contributions, rounds) for estimator in (dr, ips)]
    assert seen.variance_ratio == pytest.approx((errors[0] / errors[1]) ** 2)
    assert seen.overlap == pytest.approx(np.minimum(w, 1).mean())


def test_absent_positions_are_no_rows():
    rounds = random_rounds(1, k=2)
    mask = np.ones((40, 2), dtype=bool)
    mask[:, 1] = False
    seen = diagnose(Rounds.of(**(columns_of(rounds) | {"mask": mask})))
    alone = diagnose(Rounds.of(**{k: v[:, :1] if v.ndim == 2 else v for k, v in columns_of(rounds).items()}))
    assert seen.rows == alone.rows == 40
    assert seen.effective_sample_size == alone.effective_sample_size
    assert seen.mean_weight_z == pytest.approx(alone.mean_weight_z)


def test_a_user_can_hold_more_than_a_row():
    rounds = Rounds.of(np.ones(10), np.ones(10) / 2, np.ones(10) / 2, cluster=np.array([0] * 6 + [1, 2, 3, 4]))
    seen = diagnose(rounds)
    assert seen.max_row_share == pytest.approx(0.1)
    assert seen.max_cluster_share == pytest.approx(0.6)
    assert seen.mean_weight_z == 0


def test_missing_support_is_noticed():
    g = np.random.default_rng(0)
    blind = Bandit(np.array([[0.5, 0.5, 0.0]]), np.array([[0.3, 0.3, 0.4]]), np.full((1, 3), 0.5))
    seen = diagnose(blind.sample(5_000, g))
    assert seen.missing_mass == pytest.approx(0.4)
    assert 0.38 < seen.missing_mass_low <= 0.4
    whole = Bandit(np.array([[0.4, 0.3, 0.3]]), np.array([[0.3, 0.3, 0.4]]), np.full((1, 3), 0.5))
    assert diagnose(whole.sample(5_000, g)).missing_mass_low == 0


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_shape_finds_the_shape(shape):
    draws = genpareto.rvs(shape, size=200_000, random_state=0)
    assert pareto_shape(draws) == pytest.approx(shape, abs=0.08)
    assert pareto_shape(7 * draws) == pytest.approx(pareto_shape(draws))


def test_pareto_shape_needs_a_tail():
    assert np.isnan(pareto_shape(np.ones(1_000)))
    assert np.isnan(pareto_shape(np.arange(8.0)))


def test_histogram_keeps_every_row_and_all_weight():
    rounds = random_rounds(2, count=300)
    table = weight_histogram(rounds)
    assert table["rows"].sum() == 300
    assert table["weight"].sum() == pytest.approx(rounds.weights.sum())
    assert table["weighted_reward"].sum() == pytest.approx((rounds.weights * rounds.reward).sum())
    positive = table.filter(table["high"] > 0)
    assert (positive["weight"] >= positive["low"] * positive["rows"]).all()
    assert (positive["weight"] <= positive["high"] * positive["rows"]).all()
    np.testing.assert_allclose(positive["high"], positive["low"] * 2**0.25)
    assert table["rows"][0] == (rounds.weights == 0).sum()


def test_a_good_model_lowers_the_variance_ratio():
    rounds = random_rounds(3, count=400)
    perfect = Rounds.of(**(columns_of(rounds) | {"q_hat": rounds.reward}))
    awful = Rounds.of(**(columns_of(rounds) | {"q_hat": -5 * rounds.reward}))
    assert diagnose(perfect).variance_ratio < 1 < diagnose(awful).variance_ratio
    assert np.isnan(diagnose(Rounds.of(np.ones(5), np.ones(5), np.ones(5))).variance_ratio)


def test_mean_weight_z_is_the_clustered_ratio():
    g = np.random.default_rng(4)
    rounds = random_rounds(4, count=60, k=3, mask=g.random((60, 3)) > 0.3, cluster=g.integers(0, 20, 60))
    seen = diagnose(rounds)
    influence = (rounds.weights - seen.mean_weight * rounds.mask).sum(axis=1)
    users = np.array([influence[rounds.cluster == c].sum() for c in range(rounds.clusters)])
    error = np.sqrt(len(users) / (len(users) - 1) * (users**2).sum()) / rounds.mask.sum()
    assert seen.mean_weight_z == pytest.approx((seen.mean_weight - 1) / error)


def test_pareto_shape_of_a_short_tail_is_drawn_towards_one_half():
    """The weak prior counts like ten values of the tail, here of 45; uniform tails have shape -1."""
    draws = np.random.default_rng(0).uniform(size=225)
    assert -0.85 < pareto_shape(draws) < -0.5


def test_divergence_is_kullback_leiblers_on_an_exact_log():
    logging, target = np.array([[0.5, 0.3, 0.2]]), np.array([[0.1, 0.3, 0.6]])
    exact = Bandit(logging, target, np.full((1, 3), 0.5)).exact(10)
    assert diagnose(exact).divergence == pytest.approx(float((target * np.log(target / logging)).sum()))


def test_inverse_propensities_count_the_actions():
    """E 1/p is the number of actions; half the propensity, twice the count, and far from chance."""
    world = Bandit(np.array([[0.5, 0.3, 0.2]]), np.array([[0.2, 0.3, 0.5]]), np.full((1, 3), 0.5))
    exact = world.exact(10, actions=np.full(10, 3))
    assert diagnose(exact).inverse_propensity == pytest.approx(1)
    sampled = world.sample(5_000, np.random.default_rng(0), actions=np.full(5_000, 3))
    seen, over = diagnose(sampled), 1 / sampled.propensity[:, 0]
    error = np.sqrt(5_000 / 4_999 * ((over - 3 * seen.inverse_propensity) ** 2).sum()) / 15_000
    assert seen.inverse_propensity_z == pytest.approx((seen.inverse_propensity - 1) / error)
    assert abs(seen.inverse_propensity_z) < 4
    halved = Rounds.of(**(columns_of(sampled) | {"propensity": sampled.propensity / 2, "actions": sampled.actions}))
    assert diagnose(halved).inverse_propensity == pytest.approx(2 * diagnose(sampled).inverse_propensity)
    assert diagnose(halved).inverse_propensity_z > 4
    assert np.isnan(diagnose(world.exact(10)).inverse_propensity)


def test_model_gain_is_0_for_the_mean_of_each_position_and_1_for_the_truth():
    rounds = random_rounds(5, count=50, k=2)
    mean = np.broadcast_to(rounds.reward.mean(axis=0), rounds.reward.shape)
    gains = [diagnose(Rounds.of(**(columns_of(rounds) | {"q_hat": q}))).model_gain for q in (mean, rounds.reward)]
    assert gains == pytest.approx([0.0, 1.0], abs=1e-12)
    assert np.isnan(diagnose(Rounds.of(np.ones(5), np.ones(5), np.ones(5))).model_gain)


def test_without_heaviest_is_snips_of_the_others():
    rounds = random_rounds(6, count=60)
    kept = np.argsort(rounds.weights[:, 0])[:-10]
    others = Rounds.of(**{name: values[kept] for name, values in columns_of(rounds).items()})
    assert diagnose(rounds).without_heaviest == pytest.approx(snips(others).value)
    assert np.isnan(diagnose(random_rounds(6, count=10)).without_heaviest)
