import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.ope.curve import curve
from rlrec.ope.diagnostics import diagnose, weight_histogram
from rlrec.ope.estimators import clipped_ips
from rlrec.ope.evaluation import evaluate, evaluate_stats
from rlrec.ope.likelihood import cressie_read, units_of
from rlrec.ope.selection import RULES
from rlrec.ope.statistics import Stats, edges
from rlrec.ope.summary import NAMED, curve_of_stats, diagnose_stats, histogram_of, likelihood_of, needed
from rlrec.ope.transforms import FAMILIES, identity
from tests.ope.test_statistics import ragged
from tests.ope.worlds import TWO_CONTEXTS

MODEL = np.array([[0.3, 0.4, 0.6], [0.4, 0.4, 0.4]])


def world(count: int = 4_000, users: int = 300, seed: int = 0):
    g = np.random.default_rng(seed)
    cluster = np.concatenate((np.arange(users), g.integers(0, users, count)))[:count]
    return TWO_CONTEXTS.sample(count, g, model=MODEL, cluster=cluster, reward_range=(0.0, 1.0))


def test_few_users_have_a_shard_each_and_the_same_answers_as_in_memory():
    rounds = world(users=40)
    whole, sums = evaluate(rounds, seed=1), evaluate_stats(Stats.of(rounds), seed=1, reward_range=(0.0, 1.0))
    assert [(r.estimator, r.method) for r in sums.records] == [(r.estimator, r.method) for r in whole.records]
    for one, two in zip(sums.records, whole.records, strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-9)
        tolerance = 0.1 if "bootstrap" in one.method else 1e-9  # other draws, the same users
        assert one.high - one.low == pytest.approx(two.high - two.low, rel=tolerance)
    assert sums.verdict.grade == whole.verdict.grade
    assert set(sums.verdict.unavailable) - set(whole.verdict.unavailable) <= {"k_hat"}
    assert sums.logging_value == pytest.approx(whole.logging_value)
    assert "shards" in sums.notes[0]


def test_any_estimator_by_name_has_the_intervals_of_memory():
    rounds = world(users=40)
    names = ["beta_ips", "dm", "clipped_ips@1.5", "switch_dr@2", "dros@4", "sg_ips@0.3", "sg_dr@0.3"]
    sums = evaluate_stats(Stats.of(rounds, needed(names)), estimators=names, seed=1)
    whole = evaluate(rounds, estimators=names, methods=(), seed=1)
    assert [(r.estimator, r.method) for r in sums.records] == [(r.estimator, r.method) for r in whole.records]
    for one, two in zip(sums.records, whole.records, strict=True):
        assert one.value == pytest.approx(two.value, rel=1e-9)
        assert (one.parameter or 0) == pytest.approx(two.parameter or 0, rel=1e-9)
        tolerance = 0.1 if "bootstrap" in one.method else 1e-9
        assert one.high - one.low == pytest.approx(two.high - two.low, rel=tolerance)
    with pytest.raises(InputError, match="dr needs a reward model"):
        evaluate_stats(replace(Stats.of(rounds), has_model=False), estimators=["dr"])


def test_many_users_share_shards_and_errors_agree_within_their_noise():
    rounds = world(20_000, 5_000)
    stats = Stats.of(rounds)
    whole = {(r.estimator, r.method): r for r in evaluate(rounds).records}
    for record in evaluate_stats(stats).records:
        two = whole[record.estimator, record.method]
        assert record.value == pytest.approx(two.value, rel=1e-9)
        assert record.standard_error == pytest.approx(two.standard_error, rel=0.12)


EVERY = [transform for named in NAMED.values() for transform in named]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("base", ["ips", "snips", "dr", "sndr"])
def test_the_curve_is_that_of_the_rows_at_the_same_parameters(base, family):
    rounds = replace(ragged(1, 300, 2, users=40), reward_range=(-9.0, 9.0), max_weight=25.0)
    stats = Stats.of(rounds, EVERY)
    found = curve_of_stats(stats, base, family, truth=0.1, reward_range=(-9.0, 9.0), max_weight=25.0)
    expected = curve(rounds, base, family, parameters=found["lambda"].to_numpy(), truth=0.1)
    assert found["lambda"][0] == (1 if family == "sg" else 0)
    assert found["lambda"][-1] == identity(family)
    assert len(found) > 10
    for column in (
        "value",
        "variance",
        "se",
        "bias_plugin",
        "mse_plugin_debiased",
        "bias_bound",
        "ess",
        "mass_missing",
        "ci_low",
        "true_mse",
    ):
        np.testing.assert_allclose(
            found[column].cast(float).to_numpy(),
            expected[column].cast(float).to_numpy(),
            rtol=1e-7,
            atol=1e-12,
            err_msg=column,
        )
    if family == "clip":
        weights = rounds.weights[rounds.mask]
        heavy = [((weights >= limit) & (weights > 0)).mean() for limit in found["lambda"]]
        np.testing.assert_allclose(found["clipped_share"], heavy)
    else:
        np.testing.assert_allclose(found["clipped_share"], expected["clipped_share"], rtol=1e-12)


@pytest.mark.parametrize("base", ["ips", "snips", "dr", "sndr"])
def test_bounds_hold_and_are_those_of_shards(base):
    rounds = world(users=40)
    found = curve_of_stats(Stats.of(rounds), base, "clip", reward_range=(0.0, 1.0))
    expected = curve(rounds, base, "clip", parameters=found["lambda"].to_numpy())
    np.testing.assert_allclose(found["bias_bound"][:-1], expected["bias_bound"][:-1], rtol=1e-9)
    for row in found.iter_rows(named=True):
        kept = np.minimum(TWO_CONTEXTS.target, row["lambda"] * TWO_CONTEXTS.logging)
        outcome = TWO_CONTEXTS.mean - (MODEL if base in ("dr", "sndr") else 0.0)
        scale = kept.sum(axis=1).mean() if base in ("snips", "sndr") else 1.0
        if scale == 0:
            continue
        bent = (kept * outcome).sum(axis=1).mean() / scale
        unbent = (TWO_CONTEXTS.target * outcome).sum(axis=1).mean()
        assert abs(bent - unbent) <= row["bias_bound"] + 1e-12


@pytest.mark.parametrize("base", ["ips", "sndr"])
def test_choices_vary_between_resampled_shards_as_between_resampled_users(base):
    rounds, again = world(users=40), 2_000
    found = curve_of_stats(Stats.of(rounds), base, "clip", reward_range=(0.0, 1.0), resampled=again, seed=1)
    points = found["lambda"].to_numpy()
    expected = curve(rounds, base, "clip", parameters=points, resampled=again, seed=1)
    for rule in RULES:
        shares, theirs = (one[f"frequency_{rule}"].fill_null(0.0) for one in (found, expected))
        assert shares.sum() == pytest.approx(1)
        np.testing.assert_allclose(shares, theirs, atol=5 * np.sqrt(2 * 0.25 / again))


def test_bounds_know_of_missing_positions():
    rounds = replace(ragged(5, 6_000, 2, users=500), reward_range=(-9.0, 9.0), max_weight=25.0)
    found = curve_of_stats(Stats.of(rounds), "ips", "clip", reward_range=(-9.0, 9.0), max_weight=25.0)
    expected = curve(rounds, "ips", "clip", parameters=found["lambda"].to_numpy())
    assert (expected["bias_bound"] < 18).any()  # below what holds without looking
    for column in ("bias_bound", "mse_bound"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-9)


def test_diagnostics_agree_where_sums_can_tell():
    rounds = ragged(3, 400, 2, users=40)
    one, two = diagnose_stats(Stats.of(rounds)), diagnose(rounds)
    for name in (
        "requests", "rows", "clusters", "positions", "effective_sample_size", "effective_by_position", "max_weight",
        "max_row_share", "max_cluster_share", "mean_weight", "mean_weight_z", "missing_mass_low", "overlap",
        "second_moment", "zero_share", "variance_ratio",
    ):  # fmt: skip
        assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9), name
    for upper, exact in zip(one.weight_quantiles, two.weight_quantiles, strict=True):
        assert exact * (1 - 1e-9) <= upper <= exact * 2 ** (1 / 4) * 1.1


def test_missing_mass_is_certain_only_beyond_the_noise():
    rounds = world(users=40)
    half = replace(rounds, target_probability=rounds.target_probability / 2)
    one, two = diagnose_stats(Stats.of(half)), diagnose(half)
    assert one.missing_mass_low == pytest.approx(two.missing_mass_low)
    assert 0 < one.missing_mass_low < one.missing_mass


def test_likelihood_of_shards_is_that_of_users_when_each_has_its_own():
    rounds = world(users=40)
    mean = float(rounds.reward.mean())
    value, interval = cressie_read(units_of(rounds), mean, 0.95, (0.0, 1.0), 3.0)
    again, other = likelihood_of(Stats.of(rounds), 0.95, (0.0, 1.0), 3.0)
    assert again == pytest.approx(value)
    assert (other.low, other.high) == pytest.approx((interval.low, interval.high))
    slates = ragged(6, 400, 2, users=40)
    slates = replace(slates, target_probability=slates.target_probability / 20)
    assert slates.weights.mean() < 1  # what is missing to it is worth the mean reward
    for largest in (None, 30.0):
        mean = float(slates.rewards.sum() / slates.mask.sum())
        value, interval = cressie_read(units_of(slates), mean, 0.95, (-9.0, 9.0), largest or np.inf)
        again, other = likelihood_of(Stats.of(slates), 0.95, (-9.0, 9.0), largest)
        assert (again, other.low, other.high) == pytest.approx((value, interval.low, interval.high))


@pytest.mark.parametrize("users", [1, 5])
def test_degenerate_sums_end_in_records_without_nan(users):
    rounds = ragged(4, 5, 1, users=users)
    for given in (rounds, ragged(4, 5, 2, users=users)):
        result = evaluate_stats(Stats.of(given), reward_range=(-9.0, 9.0), replicates=50)
        json.dumps([r.to_record() for r in result.records] + [result.to_record()], allow_nan=False)
        assert result.verdict.grade == "no_support"


def test_one_is_an_edge():
    rounds = world(200, 40)
    (at_one,) = curve_of_stats(Stats.of(rounds), "ips", "clip").filter(pl.col("lambda") == 1.0).to_dicts()
    assert at_one["value"] == pytest.approx(clipped_ips(rounds, 1.0).value)


def test_histogram_of_sums_is_that_of_the_rows():
    rounds = ragged(3, 400, 2, users=40)
    one, two = histogram_of(Stats.of(rounds)), weight_histogram(rounds)
    inner = pl.col("low") >= edges()[0]
    columns = ("rows", "weight", "weighted_reward")
    np.testing.assert_allclose(*(table.filter(inner).select(columns).to_numpy() for table in (one, two)), rtol=1e-12)
    assert one.select(columns).sum().row(0) == pytest.approx(two.select(columns).sum().row(0))


def test_a_declared_largest_weight_that_the_log_exceeds_is_refused():
    rounds = world(200, 40)
    stats = Stats.of(rounds)
    evaluate_stats(stats, max_weight=stats.max_weight, replicates=50)
    with pytest.raises(InputError, match="exceeds the declared maximum"):
        evaluate_stats(stats, max_weight=0.9 * stats.max_weight, replicates=50)
