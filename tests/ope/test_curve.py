from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from rlrec.ope.curve import SCHEMA, curve
from rlrec.ope.diagnostics import effective
from rlrec.ope.estimators import UNTUNED, dr, estimate, snips
from rlrec.ope.intervals import cluster_error, clustered
from rlrec.ope.rounds import Rounds
from rlrec.ope.selection import RULES, select
from rlrec.ope.transforms import FAMILIES, identity, transformed
from tests.ope.test_estimators import columns_of, random_rounds
from tests.ope.worlds import Bandit

BASES = ("ips", "snips", "dr", "sndr")


def test_reference_curves(reference, twelve):
    expected = reference["case1_inline_12_rows"]["expected"]
    pairs = {name: name for name in ("value", "variance", "mse_plugin", "ess")} | {"clipped_share": "clipped_frac"}
    for base, family, rows in (
        ("ips", "clip", expected["clip_ips_weight_bias_curve"]),
        ("dr", "os", expected["dros_weight_bias_curve"]),
    ):
        points = np.array([float(row["lambda_"]) for row in rows])
        found = curve(twelve, base, family, parameters=points)
        for ours, theirs in pairs.items():
            if theirs in rows[0]:
                np.testing.assert_allclose(found[ours], [row[theirs] for row in rows], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(np.abs(found["bias_plugin"]), [row["abs_bias_plugin"] for row in rows], atol=1e-12)
    grid = curve(twelve, "ips", "clip", parameters=np.array([0.5, 1.0, 2.0, 5.0, 10.0, 50.0, np.inf]), level=0.9)
    tuned = expected["tuning_delta01_grid_05_1_2_5_10_50_inf"]
    assert grid.sort("mse_plugin", maintain_order=True)["lambda"][0] == tuned["ips_mse"]["lambda_"]
    chosen = select(grid, "slope")
    assert chosen is not None
    assert (chosen.parameter, chosen.value) == pytest.approx(
        (tuned["ips_slope"]["lambda_"], tuned["ips_slope"]["value"])
    )


def test_closed_form_bandit(reference):
    case = reference["extra_analytic_bandit"]
    world = Bandit(*(np.array([case["input"][name]]) for name in ("pi_b", "pi_e", "q_true")))
    g = np.random.default_rng(0)
    for family, key in (
        ("clip", "clipped_ips_exact_curve"),
        ("os", "ips_optimistic_shrinkage_exact_curve"),
        ("switch", "weight_dropping_exact_curve"),
    ):
        rows = case["expected"][key]
        # a threshold at an attained weight keeps it; the reference's 3.75 is the float above 0.3/0.08
        points = np.array([row["lambda_"] * (1 + 1e-9) for row in rows])
        exact = curve(world.exact(50), "ips", family, parameters=points, truth=world.value)
        np.testing.assert_allclose(exact["value"], [row["expected_value"] for row in rows], rtol=1e-6)
        np.testing.assert_allclose(exact["true_bias"], [row["bias"] for row in rows], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(exact["mass_missing"], [row["missing_weight_mass"] for row in rows], atol=1e-6)
        big = curve(world.sample(400_000, g), "ips", family, parameters=points)
        np.testing.assert_allclose(big["variance"] * 400, [row["variance"] for row in rows], rtol=0.05)
        mse = exact["true_mse"].to_numpy() + big["variance"].to_numpy() * 400
        np.testing.assert_allclose(mse, [row["mse"] for row in rows], rtol=0.05)
    expected, shares = case["expected"], world.exact(50)
    assert world.value == pytest.approx(expected["true_value"])
    assert shares.reward.mean() == pytest.approx(expected["on_policy_value_of_pi_b"])
    assert shares.weights.mean() == pytest.approx(expected["E_w"])
    assert (shares.weights**2).mean() == pytest.approx(expected["E_w2"])
    assert effective(shares.weights[:, 0]) / 50 == pytest.approx(expected["population_ess_fraction"])
    log = world.sample(400_000, g, model=world.mean)
    assert snips(log).standard_error * 20 == pytest.approx(expected["snips_asymptotic_se"], rel=0.02)
    assert dr(log).standard_error * 20 == pytest.approx(expected["dr_oracle_se"], rel=0.02)


def test_columns_and_ends():
    rounds = random_rounds(0, reward_range=(-10.0, 10.0))
    for base in BASES:
        for family in FAMILIES:
            rows = curve(rounds, base, family, truth=0.5)
            assert dict(rows.schema) == SCHEMA
            last = rows.row(-1, named=True)
            assert last["lambda"] == identity(family)
            assert last["value"] == pytest.approx(UNTUNED[base](rounds).value)
            assert last["bias_plugin"] == 0
            assert last["clipped_share"] == 0
            assert last["true_bias"] == pytest.approx(last["value"] - 0.5)
            assert last["true_mse"] == pytest.approx(last["true_bias"] ** 2)
            assert len(rows) == (42 if family in ("clip", "switch", "os") else 41)
            middle = rows.row(20, named=True)
            same = estimate(base, rounds, family=family, parameter=middle["lambda"])
            assert middle["value"] == pytest.approx(same.value)
            assert middle["mse_plugin_debiased"] <= middle["mse_plugin"]
            assert middle["mse_bound"] == pytest.approx(middle["variance"] + middle["bias_bound"] ** 2)
            assert rows["bound_validity"].unique().to_list() == [
                "asymptotic" if base in ("snips", "sndr") else "finite"
            ]
    assert curve(rounds, "dr", "clip").row(0, named=True)["value"] == pytest.approx(UNTUNED["dm"](rounds).value)
    assert curve(rounds, "snips", "clip").row(0, named=True)["value"] is None


def test_points_are_their_definitions_over_rows_and_users():
    rounds = random_rounds(5, count=60, k=2, reward_range=(-10.0, 10.0), cluster=np.repeat(np.arange(20), 3))
    for base in BASES:
        plain = UNTUNED[base](rounds)
        (row,) = curve(rounds, base, "clip", parameters=np.array([0.8]), level=0.9).iter_rows(named=True)
        bent = estimate(base, rounds, family="clip", parameter=0.8)
        w = np.minimum(rounds.weights, 0.8)
        assert row["mass_missing"] == pytest.approx(1 - w.mean())
        assert row["clipped_share"] == pytest.approx((rounds.weights > 0.8).mean())
        assert row["ess"] == pytest.approx(effective(w.reshape(-1)))
        assert row["bias_plugin"] == pytest.approx(bent.value - plain.value)
        interval = clustered(bent, rounds, 0.9)
        assert (row["se"], row["ci_low"], row["ci_high"]) == pytest.approx(
            (interval.standard_error, interval.low, interval.high)
        )
        assert row["variance"] == pytest.approx(interval.standard_error**2 * 19 / 20)
        noise = cluster_error(bent.contributions - plain.contributions, rounds) ** 2 * 19 / 20
        assert row["mse_plugin"] == pytest.approx(row["variance"] + row["bias_plugin"] ** 2)
        assert row["mse_plugin_debiased"] == pytest.approx(row["variance"] + max(0, row["bias_plugin"] ** 2 - noise))
        (surer,) = curve(rounds, base, "clip", parameters=np.array([0.8]), level=0.99).iter_rows(named=True)
        assert surer["bias_bound"] > row["bias_bound"]
        wide = replace(rounds, reward_range=(-20.0, 20.0))
        (wider,) = curve(wide, base, "clip", parameters=np.array([0.8]), level=0.9).iter_rows(named=True)
        assert wider["bias_bound"] == pytest.approx(2 * row["bias_bound"])


def test_without_weight_the_bound_is_the_whole_range_of_what_is_weighed():
    """IPS the farther end, SNIPS the length, DR the length with the predictions seen, SNDR both lengths."""
    rounds = random_rounds(
        6, reward=np.zeros((40, 1)), reward_range=(-1.0, 3.0), q_hat=np.linspace(-2, 2.5, 40)[:, None]
    )
    for base, reach in zip(BASES, (3.0, 4.0, 5.0, 9.0), strict=True):
        bound = curve(rounds, base, "clip", parameters=np.array([1e-9]))["bias_bound"][0]
        assert bound == pytest.approx(reach, rel=1e-6)


def test_a_larger_threshold_bends_less():
    rounds = random_rounds(1, reward=np.abs(np.random.default_rng(1).normal(size=(40, 1))))
    for family in ("clip", "switch"):
        rows = curve(rounds, "ips", family)
        assert (rows["bias_plugin"].abs().diff().drop_nulls() <= 1e-12).all()


def test_without_a_declared_range_there_is_no_bound():
    rows = curve(random_rounds(2), "ips", "clip")
    assert rows["bias_bound"].null_count() == rows["mse_bound"].null_count() == len(rows)
    assert rows["mse_plugin"].null_count() == 0


def test_curve_is_clustered_by_user():
    rounds = random_rounds(3, count=30)
    tripled = Rounds.of(**{k: np.repeat(v, 3, axis=0) for k, v in columns_of(rounds).items()})
    assert tripled.clusters == 30
    for base in BASES:
        points = np.array([0.2, 0.7, 1.5, np.inf])
        one, three = (curve(log, base, "clip", parameters=points) for log in (rounds, tripled))
        for column in ("value", "variance", "se", "mse_plugin_debiased"):
            np.testing.assert_allclose(one[column], three[column], rtol=1e-9)


def test_frame_writes_without_nan():
    rows = curve(random_rounds(4), "snips", "clip")
    assert isinstance(rows, pl.DataFrame)
    assert not rows.select(pl.col(pl.Float64).is_nan().any()).to_numpy().any()


def test_debiased_plugin_takes_the_noise_of_the_difference_off():
    rounds = random_rounds(5, count=200)
    d = ((transformed(rounds.weights, "clip", 1.0) - rounds.weights) * rounds.residuals)[:, 0]
    row = curve(rounds, "dr", "clip", parameters=np.array([1.0])).row(0, named=True)
    assert row["bias_plugin"] == pytest.approx(d.mean())
    assert row["mse_plugin_debiased"] == pytest.approx(row["variance"] + max(0, d.mean() ** 2 - d.var() / 200))
    assert row["mse_plugin_debiased"] < row["mse_plugin"]


@pytest.mark.parametrize(
    ("base", "logging", "target", "varying"),
    [("ips", [0.6, 0.3, 0.1], [0.2, 0.3, 0.5], {"slope", "slope_plus_plus"}),
     ("snips", [0.6, 0.38, 0.02], [0.3, 0.6, 0.1], {"mse_bound"})],
)  # fmt: skip
def test_frequencies_are_those_of_choices_on_resampled_logs(base, logging, target, varying):
    """Shares to first order against logs drawn again whole, each with its own curve: 5 standard errors of both."""
    count, again, points = 400, 200, np.array([1.0, 1.5, 1.7, 2.0, 2.5, 3.0, 4.0, 5.1])
    world = Bandit(np.array([logging]), np.array([target]), np.array([[0.2, 0.4, 0.9]]))
    rounds = world.sample(count, np.random.default_rng(0), reward_range=(0.0, 1.0))
    found = curve(rounds, base, "clip", parameters=points, resampled=again, seed=1)
    g, columns = np.random.default_rng(2), (rounds.reward, rounds.propensity, rounds.target_probability)
    chosen = {rule: np.zeros(len(points)) for rule in RULES}
    for _ in range(again):
        rows = g.integers(count, size=count)
        log = Rounds.of(*(column[rows] for column in columns), reward_range=(0.0, 1.0))
        one = curve(log, base, "clip", parameters=points)
        for rule in RULES:
            chosen[rule] += points == select(one, rule).parameter
    for rule in RULES:
        shares = found[f"frequency_{rule}"].to_numpy()
        assert shares.sum() == pytest.approx(1)
        np.testing.assert_allclose(shares, chosen[rule] / again, atol=5 * np.sqrt(2 * 0.25 / again))
        assert rule not in varying or shares.max() < 0.9


def test_frequencies_are_there_when_asked_for_and_where_a_rule_can_choose():
    rounds = random_rounds(2)
    assert curve(rounds, "snips", "clip")["frequency_slope"].null_count() == 42
    rows = curve(rounds, "snips", "clip", resampled=20)
    assert rows["frequency_mse_bound"].null_count() == 42
    assert rows["frequency_slope"].null_count() == 1  # λ = 0 has no value
    chosen = select(rows, "slope")
    assert chosen.frequency == rows.filter(pl.col("lambda") == chosen.parameter)["frequency_slope"][0]
    assert np.isnan(select(rows.drop("frequency_slope"), "slope").frequency)
    single = curve(random_rounds(0, count=1), "ips", "clip", resampled=20)
    assert single["frequency_slope"].null_count() == len(single)
    many = random_rounds(7, count=2_500, reward_range=(-10.0, 10.0))
    rows = curve(many, "dr", "sg", resampled=20)
    assert all(rows[f"frequency_{rule}"].sum() == pytest.approx(1) for rule in RULES)


@pytest.mark.parametrize(
    ("family", "parameter", "ceiling", "excess"), [("clip", 0.8, 0.8, 0.0), ("sg", 0.5, 2.0, None)]
)
def test_a_certified_bound_is_the_margin_of_users_of_unequal_size(family, parameter, ceiling, excess):
    g = np.random.default_rng(30)
    mask = np.column_stack((np.ones(6_000, dtype=bool), g.random(6_000) < 0.7))
    cluster = np.append(np.arange(2_000), g.integers(0, 2_000, 4_000))
    rounds = random_rounds(30, count=6_000, k=2, mask=mask, cluster=cluster, reward=np.zeros((6_000, 2)))
    rounds = replace(rounds, reward_range=(0.0, 1.0))
    bent = rounds.shown(transformed(rounds.weights, family, parameter))
    excess = (1 - np.sqrt(1 - parameter)) ** 2 / parameter if excess is None else excess
    requests = (mask - bent + 2 * np.maximum(bent - rounds.weights, 0) * (excess > 0)).sum(axis=1)
    z = np.bincount(cluster, requests) * 2_000 / 6_000
    reach = 2 * (ceiling + 2 * excess + 1) * np.bincount(cluster).max() * 2_000 / 6_000
    log = np.log(2 / (1 - 0.95))
    bound = z.mean() + np.sqrt(2 * z.var(ddof=1) * log / 2_000) + 7 * reach * log / (3 * 1_999)
    found = curve(rounds, "ips", family, parameters=np.array([parameter]))["bias_bound"][0]
    assert found == pytest.approx(bound)
    assert found < 2
