from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import skew

from rlrec.errors import InputError
from rlrec.ope.estimators import clipped_ips, dr, ips, sndr, snips
from rlrec.ope.intervals import (
    block_resamples,
    bootstrap,
    clustered,
    confidence_sequence,
    corrected,
    empirical_bernstein,
    from_replicates,
    hoeffding,
    shards_of,
)
from rlrec.ope.rounds import Rounds
from tests.ope.test_estimators import columns_of, random_rounds
from tests.ope.worlds import TWO_CONTEXTS

MODEL = np.array([[0.3, 0.4, 0.6], [0.4, 0.4, 0.4]])
LARGEST = float((TWO_CONTEXTS.target / TWO_CONTEXTS.logging).max())


@cache
def runs(count: int, repeats: int) -> list[Rounds]:
    g = np.random.default_rng(count)
    given = {"reward_range": (0.0, 1.0), "max_weight": LARGEST}
    return [TWO_CONTEXTS.sample(count, g, model=MODEL, **given) for _ in range(repeats)]


def coverage(intervals, truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))


def unequal_users(k: int = 1) -> Rounds:
    """Nine users with one to nine requests."""
    users = np.repeat(np.arange(9), np.arange(1, 10))
    reward = np.random.default_rng(21).uniform(size=(45, k))
    return random_rounds(21, count=45, k=k, reward=reward, cluster=users, reward_range=(0.0, 1.0), max_weight=20.0)


@pytest.mark.parametrize("estimator", [ips, snips])
def test_closed_form_ends_are_the_formulas(estimator):
    """Every constant of A.6: C - 1 degrees of freedom, and the mixture's ρ² = (ln α⁻² + ln(1 + ln α⁻²)) / planned."""
    log = unequal_users()
    found = estimator(log)
    sums = np.array([(found.contributions - found.value)[log.cluster == user].sum() for user in range(9)])
    error = np.sqrt(9 / 8 * (sums**2).sum()) / 45
    closed = clustered(found, log, 0.9)
    assert closed.standard_error == pytest.approx(error)
    assert (found.value - closed.low, closed.high - found.value) == pytest.approx(2 * [stdtrit(8, 0.95) * error])
    planned, alpha = 30, 0.1
    mixture = 9 * (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / planned
    half = error * np.sqrt(2 * (mixture + 1) / mixture * np.log(np.sqrt(mixture + 1) / alpha))
    anytime = confidence_sequence(found, log, 0.9, planned)
    assert (found.value - anytime.low, anytime.high - found.value) == pytest.approx([half, half])


def test_finite_sample_margins_of_unequal_users_are_the_formulas():
    for k in (1, 2):
        log = unequal_users(k)
        found, sizes, reach, alpha = ips(log), np.arange(1, 10), k * 20.0, 0.05
        margin = reach * np.sqrt(np.log(2 / alpha) * (sizes**2).sum() / 2) / 45
        assert hoeffding(found, log, 0.95).high - found.value == pytest.approx(margin)
        z = np.array([found.contributions[log.cluster == user].sum() for user in range(9)]) * 9 / 45
        margin = np.sqrt(2 * z.var(ddof=1) * np.log(4 / alpha) / 9) + 7 * reach * 9 / 45 * 9 * np.log(4 / alpha) / (
            3 * 8
        )
        assert empirical_bernstein(found, log, 0.95).high - found.value == pytest.approx(margin)


def test_bca_levels_are_the_formula():
    """A median on the value leaves the acceleration alone, of a mean skewness / 6√n; no skewness leaves the bias."""
    levels = np.array([0.025, 0.975])
    x = np.random.default_rng(22).exponential(size=50)
    left_out = (x.sum() - x) / 49
    even = np.linspace(-1.0, 1.0, 1_001)
    acceleration, z = skew(x) / (6 * np.sqrt(50)), ndtri(levels)
    np.testing.assert_allclose(corrected(levels, even, 0.0, left_out), ndtr(z / (1 - acceleration * z)))
    moved = corrected(levels, even, 0.401, np.ones(50))
    np.testing.assert_allclose(moved, ndtr(2 * ndtri(701 / 1_001) + z))


def test_replicates_become_percentiles_and_their_spread():
    found = from_replicates(np.append(np.arange(101.0), np.nan), 50.0, 0.9)
    assert (found.low, found.high) == pytest.approx((5, 95))
    assert found.standard_error == pytest.approx(np.arange(101).std(ddof=1))


@pytest.mark.parametrize("count", [200, 2_000])
@pytest.mark.parametrize("estimator", [ips, snips, dr, sndr])
def test_closed_form_intervals_cover(estimator, count):
    found = [clustered(estimator(run), run, 0.95) for run in runs(count, 1_000)]
    assert 0.93 <= coverage(found, TWO_CONTEXTS.value) <= 0.97
    assert all(one.validity == "asymptotic" for one in found)


@pytest.mark.parametrize(("count", "kind"), [(200, "percentile"), (200, "bca"), (2_000, "percentile")])
def test_bootstrap_intervals_cover(count, kind):
    estimators = (ips, snips, sndr)
    found = [
        bootstrap([e(run) for e in estimators], run, 0.95, seed=i, replicates=400, kind=kind)
        for i, run in enumerate(runs(count, 1_000)[:400])
    ]
    for column in zip(*found, strict=True):
        assert 0.92 <= coverage(column, TWO_CONTEXTS.value) <= 0.975


def test_a_frozen_denominator_fails_the_same_test():
    """Guard: dividing by the sample's mean weight before the interval, as another tool does, must not pass."""
    wrong = []
    for run in runs(2_000, 1_000)[:300]:
        w = run.weights[:, 0]
        shifted = w / w.mean() * (run.reward[:, 0] + 1)
        half = 1.96 * shifted.std(ddof=1) / np.sqrt(len(run))
        wrong.append((shifted.mean() - half, shifted.mean() + half))
    hits = np.mean([low <= TWO_CONTEXTS.value + 1 <= high for low, high in wrong])
    assert not 0.93 <= hits <= 0.97


def user_log(g: np.random.Generator, users: int, each: int) -> Rounds:
    """Two actions, half and half; every user has a click rate of their own, 0.5 on average."""
    taste = g.beta(0.5, 0.5, users)
    cluster = np.repeat(np.arange(users), each)
    reward = (g.random(users * each) < taste[cluster]).astype(float)
    target = np.where(g.random(users * each) < 0.5, 0.6, 0.4)
    return Rounds.of(reward, np.full(users * each, 0.5), target, cluster=cluster)


def test_intervals_must_know_the_users():
    g = np.random.default_rng(3)
    logs = [user_log(g, 100, 8) for _ in range(500)]
    careless = [replace(log, cluster=np.arange(len(log))) for log in logs]
    for estimator in (ips, snips):
        found = [clustered(estimator(log), log, 0.95) for log in logs]
        assert 0.93 <= coverage(found, 0.5) <= 0.97
        assert coverage([clustered(estimator(log), log, 0.95) for log in careless], 0.5) < 0.85
    resampled = [bootstrap([snips(log)], log, 0.95, seed=i, replicates=300)[0] for i, log in enumerate(logs[:300])]
    assert 0.92 <= coverage(resampled, 0.5) <= 0.975


def test_finite_sample_intervals_cover_and_shrink():
    for estimator in (ips, dr):
        for method in (hoeffding, empirical_bernstein):
            found = [method(estimator(run), run, 0.9) for run in runs(200, 1_000)[:300]]
            assert coverage(found, TWO_CONTEXTS.value) >= 0.95
            assert found[0].validity == "finite"
    wide, narrow = (hoeffding(ips(runs(n, 1_000)[0]), runs(n, 1_000)[0], 0.95) for n in (200, 2_000))
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt(10))


def test_finite_sample_margins_are_the_formulas():
    run, alpha, n = runs(200, 1_000)[0], 0.05, 200
    found = ips(run)
    margin = LARGEST * np.sqrt(np.log(2 / alpha) / (2 * n))
    assert hoeffding(found, run, 0.95).high - found.value == pytest.approx(margin)
    log, variance = np.log(4 / alpha), found.contributions.var(ddof=1)
    both = hoeffding(dr(run), run, 0.95).high - dr(run).value
    assert both == pytest.approx((1 + 2 * LARGEST) * np.sqrt(np.log(2 / alpha) / (2 * n)))
    margin = np.sqrt(2 * variance * log / n) + 7 * LARGEST * log / (3 * (n - 1))
    assert empirical_bernstein(found, run, 0.95).high - found.value == pytest.approx(margin)


def test_a_range_that_starts_above_zero_still_begins_at_zero():
    """w may be 0, so w·r spans [0, w_max·hi]: hi - lo would be too short."""
    rounds = Rounds.of(np.full(50, 0.9), np.full(50, 0.5), np.full(50, 0.5), reward_range=(0.8, 1.0), max_weight=2.0)
    interval = hoeffding(ips(rounds), rounds, 0.95)
    assert (interval.high - interval.low) / 2 == pytest.approx(2.0 * np.sqrt(np.log(2 / 0.05) / 100))


def test_finite_sample_intervals_need_declared_ranges():
    run = runs(200, 1_000)[0]
    for missing in ({"reward_range": None}, {"max_weight": None}):
        with pytest.raises(InputError, match="declared"):
            hoeffding(ips(run), replace(run, **missing), 0.95)
    for unfit in (snips(run), clipped_ips(run, 2.0)):
        with pytest.raises(InputError, match="no finite-sample interval"):
            empirical_bernstein(unfit, run, 0.95)
    with pytest.raises(InputError, match="leaves the declared"):
        hoeffding(dr(run), replace(run, q_hat=run.predicted + 2), 0.95)


def test_requests_of_one_user_widen_finite_sample_intervals():
    run = runs(200, 1_000)[0]
    pairs = replace(run, cluster=np.repeat(np.arange(100), 2))
    for method in (hoeffding, empirical_bernstein):
        one, two = method(ips(run), run, 0.95), method(ips(pairs), pairs, 0.95)
        assert two.high - two.low > one.high - one.low


def test_singleton_users_give_the_row_level_error():
    rounds = random_rounds(0)
    interval = clustered(ips(rounds), rounds, 0.95)
    assert interval.standard_error == pytest.approx(ips(rounds).standard_error)
    half = float(stdtrit(39, 0.975)) * interval.standard_error
    assert (interval.low, interval.high) == pytest.approx((ips(rounds).value - half, ips(rounds).value + half))
    n = len(rounds)
    delta = clustered(snips(rounds), rounds, 0.95)
    assert delta.method == "delta"
    assert delta.standard_error == pytest.approx(snips(rounds).standard_error * np.sqrt(n / (n - 1)))


def test_reference_ends(reference, twelve):
    """One-sided at 5 % there, two-sided at 90 % here; its largest weight, there the sample's own, declared."""
    expected = reference["case1_inline_12_rows"]["expected"]["intervals"]
    declared = replace(twelve, max_weight=7.0)
    found = ips(declared)
    for interval, name in (
        (clustered(found, declared, 0.9), "obp_student_t_lower_ips_delta05"),
        (hoeffding(found, declared, 0.9), "obp_hoeffding_lower_ips_delta05_xmax_sample"),
        (empirical_bernstein(found, declared, 0.9), "obp_bernstein_lower_ips_delta05_xmax_sample"),
    ):
        assert interval.low == pytest.approx(expected[name], rel=1e-9)


def test_reference_bootstrap_error(twelve):
    """At twelve rows the two errors agree only roughly; at two hundred closely."""
    run = runs(200, 1_000)[1]
    for estimator in (ips, snips, dr, sndr):
        found = estimator(run)
        again = bootstrap([found], run, 0.95, seed=0, replicates=4_000)[0]
        assert again.standard_error == pytest.approx(clustered(found, run, 0.95).standard_error, rel=0.05)


def test_snips_interval_ignores_a_shift_of_the_rewards():
    rounds = random_rounds(1)
    shifted = Rounds.of(**(columns_of(rounds) | {"reward": rounds.reward + 1}))
    for interval in (
        lambda r: clustered(snips(r), r, 0.95),
        lambda r: bootstrap([snips(r)], r, 0.95, seed=0)[0],
        lambda r: bootstrap([snips(r)], r, 0.95, seed=0, kind="bca")[0],
    ):
        before, after = interval(rounds), interval(shifted)
        assert after.low == pytest.approx(before.low + 1)
        assert after.high == pytest.approx(before.high + 1)


def test_self_normalised_errors_move_with_the_denominator():
    rounds = random_rounds(2)
    flat = Rounds.of(**(columns_of(rounds) | {"reward": np.ones_like(rounds.reward)}))
    assert clustered(snips(flat), flat, 0.95).standard_error == pytest.approx(0, abs=1e-12)
    assert bootstrap([snips(flat)], flat, 0.95, seed=0)[0].high == pytest.approx(1)
    assert clustered(ips(flat), flat, 0.95).standard_error > 0.01


def test_higher_levels_are_wider():
    run = runs(200, 1_000)[0]
    for make in (lambda level: clustered(snips(run), run, level), lambda level: hoeffding(ips(run), run, level)):
        narrow, wide = make(0.9), make(0.99)
        assert wide.low < narrow.low < narrow.high < wide.high
    assert clustered(ips(run), run, 0.95, "normal").high < clustered(ips(run), run, 0.95).high


def test_one_user_or_no_weight_has_no_interval():
    one = random_rounds(3, count=4, cluster=np.zeros(4, dtype=int))
    none = random_rounds(3, target_probability=np.zeros((40, 1)))
    for found in (clustered(ips(one), one, 0.95), *bootstrap([ips(one)], one, 0.95, seed=0)):
        assert np.isnan(found.low)
        assert np.isnan(found.high)
    assert np.isnan(bootstrap([snips(none)], none, 0.95, seed=0)[0].low)
    assert np.isnan(clustered(snips(none), none, 0.95).low)


def test_the_seed_decides_and_many_users_share_shards():
    run = runs(2_000, 1_000)[0]
    first, again, other = (bootstrap([snips(run)], run, 0.95, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    sizes = np.bincount(shards_of(2_500, np.random.default_rng(0)))
    assert len(sizes) == 1_000
    assert sizes.max() - sizes.min() <= 1


def test_transformed_estimates_are_resampled_with_their_weights():
    run = runs(200, 1_000)[2]
    found = clipped_ips(run, 1.0)
    interval = bootstrap([ips(run), found], run, 0.95, seed=0)[1]
    assert interval.standard_error == pytest.approx(clustered(found, run, 0.95).standard_error, rel=0.1)


def test_a_resample_divides_by_its_own_number_of_requests():
    one = np.ones(30)
    users = np.repeat(np.arange(5), [1, 2, 3, 10, 14])
    rounds = Rounds.of(one, one / 2, one / 2, cluster=users)
    interval = bootstrap([ips(rounds)], rounds, 0.95, seed=0)[0]
    assert (interval.low, interval.high) == pytest.approx((1.0, 1.0))


def test_bca_moves_with_the_skew():
    """The mean of skewed rewards: both ends lie further out on the side of the long tail than percentiles say."""
    one = np.ones(60)
    for sign in (1, -1):
        rounds = Rounds.of(sign * np.random.default_rng(0).exponential(size=60) ** 2, one / 2, one / 2)
        plain, moved = (
            bootstrap([ips(rounds)], rounds, 0.95, seed=0, replicates=4_000, kind=kind)[0]
            for kind in ("percentile", "bca")
        )
        assert sign * moved.low > sign * plain.low
        assert sign * moved.high > sign * plain.high


def test_a_confidence_sequence_survives_twenty_looks_where_a_peeked_interval_fails():
    g = np.random.default_rng(0)
    kept = {"anytime": 0, "asymptotic": 0}
    for _ in range(200):
        reward, heads = g.random(2000), g.random(2000) < 0.5
        target = np.where(heads, 0.7, 0.3)
        logs = [Rounds.of(reward[:n], np.full(n, 0.5), target[:n]) for n in range(100, 2001, 100)]
        for make in (clustered, lambda *given: confidence_sequence(*given, planned=1000)):
            looks = [make(ips(log), log, 0.95) for log in logs]
            kept[looks[0].validity] += all(look.low <= 0.5 <= look.high for look in looks)
    assert kept["anytime"] >= 190
    assert kept["asymptotic"] < 180
    with pytest.raises(InputError, match="planned"):
        confidence_sequence(ips(logs[0]), logs[0], 0.95, planned=0)


def test_basic_bootstrap_is_the_percentiles_mirrored_at_the_value():
    rounds = TWO_CONTEXTS.sample(300, np.random.default_rng(0))
    found = snips(rounds)
    percentile, basic = (bootstrap([found], rounds, 0.95, seed=0, kind=kind)[0] for kind in ("percentile", "basic"))
    assert (basic.low, basic.high) == pytest.approx(
        (2 * found.value - percentile.high, 2 * found.value - percentile.low)
    )
    assert basic.method == "bootstrap_basic"


def test_blocks_draw_runs_of_days_and_every_day_equally_often():
    times = block_resamples(27, 4_000, np.random.default_rng(0))
    assert (times.sum(axis=1) == 27).all()
    assert times.mean(axis=0) == pytest.approx(1, abs=0.08)
    together = np.corrcoef(times.T)
    neighbours = np.mean([together[day, (day + 1) % 27] for day in range(27)])
    assert neighbours == pytest.approx(2 / 3, abs=0.05)  # runs of three share two of three


def test_blocks_know_that_days_resemble_their_neighbours():
    """Rewards that follow a slow season: the error of the mean is that of runs of days, not of single days."""
    g = np.random.default_rng(0)
    days, season = 343, np.zeros(343)
    for day in range(1, days):
        season[day] = 0.7 * season[day - 1] + g.normal()
    day = np.repeat(np.arange(days), 20)
    rounds = Rounds.of(season[day] + g.normal(size=day.size), np.ones(day.size), np.ones(day.size), cluster=day)
    single, runs = (
        bootstrap([ips(rounds)], rounds, 0.95, seed=0, kind=kind)[0].standard_error for kind in ("percentile", "blocks")
    )
    long_run = 1 / 0.3 / np.sqrt(days)
    assert single < 0.7 * long_run
    assert runs == pytest.approx(long_run, rel=0.25)
