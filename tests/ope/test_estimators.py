from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlrec.errors import InputError
from rlrec.ope.diagnostics import effective
from rlrec.ope.estimators import (
    UNTUNED,
    beta_ips,
    clipped_ips,
    dm,
    dr,
    dr_clip,
    dros,
    estimate,
    ips,
    named,
    replay,
    sg_dr,
    sg_ips,
    sndr,
    snips,
    tuned,
)
from rlrec.ope.estimators import switch_dr as switch
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds, mixture_propensity
from rlrec.ope.transforms import grid
from tests.ope.worlds import TWO_CONTEXTS, Bandit, Slates

PARAMETERS = {"clipped_ips": 2.0, "dr_clip": 2.0, "switch_dr": 1.5, "dros": 3.0, "sg_ips": 0.3, "sg_dr": 0.3}
ALL = {
    **UNTUNED,
    "beta_ips": beta_ips,
    **{name: partial(tuned, name, parameter=value) for name, value in PARAMETERS.items()},
}


def random_rounds(seed: int, count: int = 40, k: int = 1, **given) -> Rounds:
    g = np.random.default_rng(seed)
    shape = (count, k)
    columns = {
        "reward": g.normal(size=shape),
        "propensity": g.uniform(0.05, 1.0, shape),
        "target_probability": g.uniform(0.0, 1.0, shape) * (g.random(shape) > 0.1),
        "q_hat": g.normal(size=shape),
        "q_hat_target": g.normal(size=shape),
    }
    return Rounds.of(**(columns | given))


def columns_of(rounds: Rounds) -> dict:
    return {
        name: getattr(rounds, name)
        for name in ("reward", "propensity", "target_probability", "q_hat", "q_hat_target", "mask", "cluster")
    }


def test_reference_points(reference, twelve):
    names = {"ips_clip": "clipped_ips"}
    checked = 0
    for key, expected in reference["case1_inline_12_rows"]["expected"]["estimates"].items():
        name, _, parameter = key.partition("@")
        name = names.get(name, name)
        if name == "balanced_ips_given_weights":
            found = estimate("snips", twelve, family="clip", parameter=float(parameter))
        else:
            found = tuned(name, twelve, float(parameter)) if parameter else UNTUNED[name](twelve)
        assert found.value == pytest.approx(expected, rel=1e-9), key
        checked += 1
    assert checked == 20
    errors = reference["case1_inline_12_rows"]["expected"]["intervals"]
    assert ips(twelve).standard_error == pytest.approx(errors["se_ips_ddof1"], rel=1e-9)
    assert dr(twelve).standard_error == pytest.approx(errors["se_dr_ddof1"], rel=1e-9)
    assert snips(twelve).standard_error == pytest.approx(errors["se_snips_delta"], rel=1e-9)


def test_reference_slates(reference):
    case = reference["extra_slate_inline_4x3"]
    names = ("reward", "pscore_item_position", "pi_e_item_position")
    rounds = Rounds.of(*(np.array(case["input"][name]).reshape(4, 3) for name in names))
    assert ips(rounds).value == pytest.approx(case["expected"]["iips"], rel=1e-9)
    assert snips(rounds).value == pytest.approx(case["expected"]["sniips"], rel=1e-9)


@pytest.mark.data
def test_published_figure_of_the_open_bandit_data(data, reference):
    pl = pytest.importorskip("polars")
    case = reference["extra_obd_all_random_to_bts"]
    log = pl.read_csv(data / "open-bandit" / "random" / "all" / "all.csv.gz")
    counts = np.array(case["input"]["pi_e_counts"] if "pi_e_counts" in case["input"] else case["pi_e_counts"])
    position = log["position"].rank("dense").to_numpy().astype(int) - 1
    target = counts[log["item_id"].to_numpy(), position] / 100_000
    rounds = Rounds.of(log["click"].to_numpy(), log["propensity_score"].to_numpy(), target)
    assert ips(rounds).value == pytest.approx(case["expected"]["ips"], rel=1e-9)
    assert snips(rounds).value == pytest.approx(case["expected"]["snips"], rel=1e-9)
    relative = ips(rounds).value / float(log["click"].mean())
    assert relative == pytest.approx(case["expected"]["published_in_obp_readme"], abs=1e-6)
    assert rounds.weights.mean() == pytest.approx(case["expected"]["mean_w"], rel=1e-9)
    assert effective(rounds.weights[:, 0]) == pytest.approx(case["expected"]["ess"], rel=1e-9)


@pytest.mark.parametrize("k", [1, 3])
def test_target_equal_to_logging_gives_the_mean_reward(k):
    rounds = random_rounds(0, k=k)
    same = Rounds.of(**(columns_of(rounds) | {"target_probability": rounds.propensity}))
    for estimator in (ips, snips):
        assert estimator(same).value == pytest.approx(rounds.reward.sum(axis=1).mean())


@pytest.mark.parametrize("k", [1, 3])
def test_exact_equalities(k):
    rounds = random_rounds(1, k=k)
    columns = columns_of(rounds)
    zero = np.zeros_like(rounds.reward)
    blind = Rounds.of(**(columns | {"q_hat": zero, "q_hat_target": zero}))
    perfect = Rounds.of(**(columns | {"q_hat": rounds.reward}))
    near = lambda a, b: np.testing.assert_allclose(a.contributions, b.contributions, atol=1e-12)  # noqa: E731  # reads as a relation
    near(dr(blind), ips(blind))
    near(sndr(blind), snips(blind))
    near(dr(perfect), dm(perfect))
    near(clipped_ips(rounds, rounds.weights.max()), ips(rounds))
    near(clipped_ips(rounds, np.inf), ips(rounds))
    assert clipped_ips(rounds, 0.0).value == 0
    for form in (switch, dr_clip, dros):
        near(form(rounds, np.inf), dr(rounds))
        near(form(rounds, 0.0), dm(rounds))
    near(switch(rounds, rounds.weights.max()), dr(rounds))
    near(sg_ips(rounds, 0.0), ips(rounds))
    near(sg_dr(rounds, 0.0), dr(rounds))
    assert sg_ips(rounds, 1.0).value == pytest.approx(rounds.reward.sum(axis=1).mean())
    constant = Rounds.of(**(columns | {"q_hat_target": zero + 0.3}))
    assert dm(constant).value == pytest.approx(0.3 * k)


def test_sndr_is_dr_when_weights_average_to_one():
    rounds = random_rounds(2)
    scaled = rounds.target_probability / rounds.weights.mean()
    assert scaled.max() <= 1
    rounds = Rounds.of(**(columns_of(rounds) | {"target_probability": scaled}))
    assert rounds.weights.mean() == pytest.approx(1)
    assert sndr(rounds).value == pytest.approx(dr(rounds).value)


@pytest.mark.parametrize("family", ["clip", "switch", "os"])
def test_the_grid_begins_where_a_twentieth_of_the_positive_weights_lies_below(family):
    weights = np.append(np.random.default_rng(0).lognormal(size=2_000), np.zeros(500))
    start = grid(weights, family)[1]
    assert (weights[weights > 0] < (np.sqrt(start) if family == "os" else start)).mean() == pytest.approx(
        0.05, abs=1e-3
    )


def test_clipping_rises_with_its_threshold():
    rounds = random_rounds(3)
    rounds = Rounds.of(**(columns_of(rounds) | {"reward": np.abs(rounds.reward)}))
    found = [clipped_ips(rounds, parameter) for parameter in (0.1, 0.5, 1.0, 2.0, 5.0, 50.0)]
    assert np.all(np.diff([one.value for one in found]) >= 0)
    assert np.all(np.diff([(one.contributions**2).mean() for one in found]) >= 0)


def test_snips_stays_within_the_rewards():
    for seed in range(20):
        rounds = random_rounds(seed, count=5)
        assert rounds.reward.min() - 1e-12 <= snips(rounds).value <= rounds.reward.max() + 1e-12


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("k", [1, 3])
def test_contributions_average_to_the_value_and_ignore_row_order(name, k):
    rounds = random_rounds(4, k=k)
    found = ALL[name](rounds)
    assert found.contributions.mean() == pytest.approx(found.value)
    order = np.random.default_rng(0).permutation(len(rounds))
    mixed = ALL[name](Rounds.of(**{key: values[order] for key, values in columns_of(rounds).items()}))
    assert mixed.value == pytest.approx(found.value, rel=1e-12)
    np.testing.assert_allclose(mixed.contributions, found.contributions[order], atol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_duplicated_data_keeps_the_value_and_divides_the_error_by_root_two(name):
    rounds = random_rounds(5, count=500)
    twice = Rounds.of(**{k: np.concatenate((v, v)) for k, v in columns_of(rounds).items() if k != "cluster"})
    found, again = ALL[name](rounds), ALL[name](twice)
    assert again.value == pytest.approx(found.value)
    assert again.standard_error * np.sqrt(2) == pytest.approx(found.standard_error, rel=2e-3)


@pytest.mark.parametrize("name", [name for name in ALL if name != "beta_ips"])  # its β moves too
def test_a_contribution_is_what_one_more_request_like_it_adds(name):
    """(N + 1)(V with it twice - V) → φ - V, to first order in 1/N; short slates included."""
    rounds = random_rounds(15, count=20, k=2, mask=np.arange(40).reshape(20, 2) % 10 != 1)
    found = ALL[name](rounds)
    for row in range(0, 20, 3):
        more = np.append(np.tile(np.arange(20), 500), row)
        again = ALL[name](Rounds.of(**{k: v[more] for k, v in columns_of(rounds).items() if k != "cluster"}))
        added = len(more) * (again.value - found.value)
        assert added == pytest.approx(found.contributions[row] - found.value, rel=0.01, abs=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_absent_positions_count_for_nothing(name):
    rounds = random_rounds(6, k=2)
    mask = np.ones((40, 2), dtype=bool)
    mask[::3, 1] = False
    masked = Rounds.of(**(columns_of(rounds) | {"mask": mask}))
    spoilt = {
        key: np.where(mask, getattr(rounds, key), np.nan)
        for key in ("reward", "propensity", "target_probability", "q_hat", "q_hat_target")
    }
    assert ALL[name](Rounds.of(**(columns_of(masked) | spoilt))).value == ALL[name](masked).value
    assert np.isfinite(ALL[name](masked).value)


def test_snips_scales_each_position_by_its_share():
    rounds = random_rounds(7, k=2)
    mask = np.ones((40, 2), dtype=bool)
    mask[10:, 1] = False
    w, r = rounds.weights, rounds.reward
    expected = (w * r)[:, 0].sum() / w[:, 0].sum() + 0.25 * (w * r)[:10, 1].sum() / w[:10, 1].sum()
    assert snips(Rounds.of(**(columns_of(rounds) | {"mask": mask}))).value == pytest.approx(expected)


number = st.floats(-5, 5)


@given(st.integers(0, 10_000), st.floats(0.1, 4), number, st.floats(0.2, 1))
def test_affine_rewards_and_scaled_propensities(seed, slope, shift, scale):
    rounds = random_rounds(seed, count=12)
    columns = columns_of(rounds)
    mapped = Rounds.of(
        **(columns | {name: slope * columns[name] + shift for name in ("reward", "q_hat", "q_hat_target")})
    )
    assert snips(mapped).value == pytest.approx(slope * snips(rounds).value + shift, abs=1e-9)
    assert dr(mapped).value == pytest.approx(slope * dr(rounds).value + shift, abs=1e-9)
    assert sndr(mapped).value == pytest.approx(slope * sndr(rounds).value + shift, abs=1e-9)
    scaled = Rounds.of(**(columns | {"propensity": scale * rounds.propensity}))
    assert snips(scaled).value == pytest.approx(snips(rounds).value, abs=1e-9)
    assert ips(scaled).value == pytest.approx(ips(rounds).value / scale)


def test_float32_columns_agree():
    rounds = random_rounds(8, count=500)
    narrow = Rounds.of(
        **{k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in columns_of(rounds).items()}
    )
    np.testing.assert_allclose(narrow.weights, rounds.weights, rtol=1e-6)
    for estimator in (ips, snips, dr, sndr):
        scale = np.abs(estimator(rounds).contributions).mean()
        assert estimator(narrow).value == pytest.approx(estimator(rounds).value, abs=1e-6 * scale)


def test_unbiased_over_replications():
    g = np.random.default_rng(0)
    model = TWO_CONTEXTS.mean + g.normal(0, 0.3, (2, 3))
    runs = [TWO_CONTEXTS.sample(50, g, model=model) for _ in range(2_000)]
    for estimator in (ips, dr):
        values = np.array([estimator(run).value for run in runs])
        assert abs(values.mean() - TWO_CONTEXTS.value) < 4 * values.std() / np.sqrt(len(values))
    world = TWO_CONTEXTS
    bent = (np.minimum(world.target, 1.5 * world.logging) * world.mean).sum(axis=1).mean()
    values = np.array([clipped_ips(run, 1.5).value for run in runs])
    assert abs(values.mean() - bent) < 4 * values.std() / np.sqrt(len(values))
    assert abs(values.mean() - TWO_CONTEXTS.value) > 4 * values.std() / np.sqrt(len(values))


def test_doubly_robust():
    world, g = TWO_CONTEXTS, np.random.default_rng(1)
    wrong_model, wrong_logging = np.full((2, 3), 0.9), np.array([[0.2, 0.3, 0.5], [0.3, 0.3, 0.4]])

    def gap(logging: np.ndarray, model: np.ndarray) -> float:
        believed = Bandit(logging, world.target, world.mean)
        depth = world.logging.cumsum(axis=1)
        context = g.integers(2, size=200_000)
        action = (g.random(200_000)[:, None] > depth[context]).sum(axis=1)
        reward = (g.random(200_000) < world.mean[context, action]).astype(float)
        return abs(dr(believed.rounds(context, action, reward, model)).value - world.value)

    assert gap(world.logging, wrong_model) < 0.01
    assert gap(wrong_logging, world.mean) < 0.01
    assert gap(wrong_logging, wrong_model) > 0.03


@pytest.mark.parametrize("seed", range(3))
def test_slates_with_exact_marginals_are_unbiased_whatever_the_model(seed):
    g = np.random.default_rng(seed)
    logging = Slates.plackett_luce(g.normal(size=5), 3)
    target = Slates.plackett_luce(g.normal(size=5), 3)
    attraction, examination = g.uniform(0, 1, 5), 1 / np.log2(np.arange(2, 5))
    reward = attraction[logging.slates] * examination
    model = g.normal(size=5)[:, None] * examination
    position = np.arange(3)
    rounds = Rounds.of(
        reward,
        logging.marginal[logging.slates, position],
        target.marginal[logging.slates, position],
        q_hat=model[logging.slates, position],
        q_hat_target=np.tile((target.marginal * model).sum(axis=0), (len(reward), 1)),
    )
    truth = target.probability @ (attraction[target.slates] * examination).sum(axis=1)
    for estimator in (ips, dr):
        assert logging.probability @ estimator(rounds).contributions == pytest.approx(truth, rel=1e-12)


def test_without_weight_direct_parts_remain_and_ratios_do_not_exist():
    rounds = random_rounds(9)
    none = Rounds.of(**(columns_of(rounds) | {"target_probability": np.zeros_like(rounds.reward)}))
    assert ips(none).value == 0
    assert dr(none).value == dm(none).value == dros(none, 0.0).value == dros(none, 5.0).value
    assert np.isnan(snips(none).value)
    assert np.isnan(sndr(none).value)


def test_one_request_has_a_value_and_no_error():
    rounds = random_rounds(10, count=1)
    assert np.isfinite(ips(rounds).value)
    assert np.isnan(ips(rounds).standard_error)


def test_tiny_propensities_constant_rewards_and_one_action():
    tiny = Rounds.of(np.ones(3), np.array([1e-12, 0.5, 0.5]), np.array([1e-3, 0.5, 0.5]))
    assert ips(tiny).value == pytest.approx((1e9 + 2) / 3)
    assert snips(tiny).value == pytest.approx(1.0)
    assert snips(tiny).standard_error == pytest.approx(0.0, abs=1e-12)
    certain = Rounds.of(np.array([0.0, 1.0]), np.ones(2), np.ones(2))
    assert ips(certain).value == snips(certain).value == 0.5


def test_without_a_model_dr_is_refused():
    rounds = Rounds.of(np.ones(3), np.ones(3), np.ones(3))
    for estimator in (dm, dr, sndr):
        with pytest.raises(InputError, match="reward model"):
            estimator(rounds)


def test_the_optimal_control_variate_is_a_regression_and_no_worse_than_its_neighbours():
    g = np.random.default_rng(11)
    rounds = random_rounds(11, count=400)
    found, plain, surplus = beta_ips(rounds), ips(rounds), rounds.weights[:, 0] - 1
    covariance = np.cov(plain.contributions, surplus)
    assert found.parameter == pytest.approx(covariance[0, 1] / covariance[1, 1])
    assert found.value == pytest.approx(plain.value - found.parameter * surplus.mean())
    users = Rounds.of(**(columns_of(rounds) | {"cluster": g.integers(0, 60, 400)}))
    best = beta_ips(users)
    surplus = users.weights[:, 0] - 1
    for step in (-0.1, -1e-3, 1e-3, 0.1, -best.parameter):
        other = best.contributions - step * surplus
        assert cluster_error(best.contributions, users) <= cluster_error(other, users)
    assert beta_ips(Rounds.of(*(np.full(5, v) for v in (2.0, 0.5, 0.5)))).value == 2.0
    for log in (rounds, users):
        shifted = Rounds.of(**(columns_of(log) | {"reward": log.reward + 3}))
        assert beta_ips(shifted).value == pytest.approx(beta_ips(log).value + 3)


def test_replay_is_snips_of_a_uniform_logger_and_refuses_others():
    g = np.random.default_rng(13)
    agrees = (g.random(200) < 0.25).astype(float)
    rounds = Rounds.of(g.normal(size=200), np.full(200, 0.25), agrees)
    assert named("replay", rounds).value == pytest.approx(rounds.reward[agrees == 1].mean())
    np.testing.assert_allclose(replay(rounds).contributions, snips(rounds).contributions)
    for columns in ({"target_probability": agrees / 2}, {"propensity": np.linspace(0.1, 0.9, 200)}):
        given = {"reward": rounds.reward[:, 0], "propensity": np.full(200, 0.25), "target_probability": agrees}
        with pytest.raises(InputError, match="deterministic target"):
            replay(Rounds.of(**(given | columns)))


def test_names_with_parameters():
    rounds = random_rounds(12)
    assert named("clipped_ips@2.5", rounds).value == clipped_ips(rounds, 2.5).value
    assert named("beta_ips", rounds).value == beta_ips(rounds).value
    for wrong in ("clipped_ips", "ips@2", "clipped_ips@two", "nothing"):
        with pytest.raises(InputError, match="no estimator"):
            named(wrong, rounds)


def test_a_mixture_of_loggers_is_unbiased_where_no_single_one_has_support():
    loggers, target, means = (
        np.array([[0.8, 0.2, 0.0], [0.0, 0.5, 0.5]]),
        np.array([0.3, 0.3, 0.4]),
        np.arange(1.0, 4.0),
    )
    # each logger writes ten rows, every action as often as it plays it: the mean over this log is the expectation
    action = np.repeat(np.tile(np.arange(3), 2), (10 * loggers).round().astype(int).reshape(-1))
    logger = np.repeat(np.arange(2), 10)
    mixed = mixture_propensity(loggers[:, action, None], logger)
    assert ips(Rounds.of(means[action], mixed[:, 0], target[action])).value == pytest.approx(target @ means)
    own = loggers[logger, action]
    assert ips(Rounds.of(means[action], own, target[action])).value != pytest.approx(target @ means)
    np.testing.assert_allclose(mixture_propensity(own[None, :, None], np.zeros(20, int))[:, 0], own)
    with pytest.raises(InputError, match="OPE011"):
        mixture_propensity(loggers[:, action, None], logger + 1)


@pytest.mark.parametrize("name", ["clipped_ips@-1", "dros@nan", "sg_ips@2", "sg_dr@-0.1"])
def test_a_parameter_outside_its_transform_is_refused(name):
    with pytest.raises(InputError, match="no λ"):
        named(name, random_rounds(0))
