"""Rows dropped at random: what is left, weighed by 1/keep_probability, says what all of them said."""

from itertools import product

import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.comparison import compared, logged, summed
from rlrec.ope.curve import curve
from rlrec.ope.diagnostics import diagnose, effective
from rlrec.ope.estimators import beta_ips, clipped_ips, dm, dr, ips, named, sndr, snips, switch_dr
from rlrec.ope.evaluation import evaluate
from rlrec.ope.intervals import bootstrap, clustered, hoeffding
from rlrec.ope.likelihood import cressie_read, units_of
from rlrec.ope.models import part
from rlrec.ope.planning import plan
from rlrec.ope.rounds import Rounds
from rlrec.ope.segments import segments
from rlrec.ope.statistics import Stats
from tests.ope.worlds import TWO_CONTEXTS

MODEL = TWO_CONTEXTS.mean * 0.8 + 0.1
NAMES = ("ips", "snips", "dm", "dr", "sndr", "beta_ips", "clipped_ips@1.5", "dros@2", "switch_dr@1.5")
KEPT = 0.2  # of the rows without reward


def world(count: int, seed: int, users: int | None = None) -> tuple[Rounds, np.ndarray, np.random.Generator]:
    """All rows, and the probability with which each is kept: a row without reward seldom is."""
    g = np.random.default_rng(seed)
    given = {} if users is None else {"cluster": g.integers(0, users, count)}
    rounds = TWO_CONTEXTS.sample(count, g, model=MODEL, **given)
    return rounds, np.where(rounds.reward[:, 0] > 0, 1.0, KEPT), g


def kept(rounds: Rounds, keep: np.ndarray, rows: np.ndarray) -> Rounds:
    """The rows that are left, each with what it stands for."""
    left = part(rounds, rows)
    return Rounds.of(
        left.reward, left.propensity, left.target_probability, cluster=left.cluster, q_hat=left.q_hat,
        q_hat_target=left.q_hat_target, reward_range=left.reward_range, sample_weight=1 / keep[rows],
    )  # fmt: skip


def repeated(rounds: Rounds, times: np.ndarray) -> Rounds:
    """Every row as often as it stands for, its user with it."""
    return part(rounds, np.repeat(np.arange(len(rounds)), times))


@pytest.fixture
def twice() -> tuple[Rounds, Rounds]:
    """Rows of users that stand for 1 to 3 rows, and the log in which they are written out."""
    rounds, _, g = world(400, 0, users=40)
    times = g.integers(1, 4, len(rounds))
    weighed = kept(rounds, 1 / times, np.arange(len(rounds)))
    return weighed, repeated(rounds, times)


def test_a_row_that_stands_for_three_is_three_rows(twice):
    """Values, errors by user, resamples and likelihood are exactly those of the log written out."""
    weighed, written = twice
    assert weighed.logging_value == pytest.approx(written.logging_value)
    both = [[named(name, rounds) for name in NAMES] for rounds in twice]
    for one, other in zip(*both, strict=True):
        assert one.value == pytest.approx(other.value), one.estimator
        intervals = clustered(one, weighed, 0.95), clustered(other, written, 0.95)
        assert intervals[0].standard_error == pytest.approx(intervals[1].standard_error, rel=1e-6), one.estimator
    resampled = [
        bootstrap([one for one in found if one.resampled], rounds, 0.95, seed=1)
        for found, rounds in zip(both, twice, strict=True)
    ]
    for one, other in zip(*resampled, strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high))
    likely = [cressie_read(units_of(one), one.logging_value, 0.95, (0.0, 1.0)) for one in twice]
    assert likely[0][0] == pytest.approx(likely[1][0])
    assert likely[0][1].low == pytest.approx(likely[1][1].low)


def test_comparison_segments_and_mean_weight_are_those_of_the_log_written_out(twice):
    gaps = [compared([summed("t", sndr(one), one, seed=0)], [logged(one, seed=0)], 0.95, seed=0) for one in twice]
    for one, other in zip(*gaps, strict=True):
        assert [one[name] for name in ("value", "low", "high")] == pytest.approx(
            [other[name] for name in ("value", "low", "high")]
        )
    weighed, written = twice
    for name in ("second_moment", "divergence", "overlap", "model_gain"):
        assert getattr(diagnose(weighed), name) == pytest.approx(getattr(diagnose(written), name))
    halves = [segments(one, np.where(one.propensity[:, 0] > 0.25, "often", "seldom")) for one in twice]
    key = {one.segment: one for one in halves[1]}
    for one in halves[0]:
        assert (one.value, one.logging_value) == pytest.approx((key[one.segment].value, key[one.segment].logging_value))
        assert one.standard_error == pytest.approx(key[one.segment].standard_error, rel=1e-6)
    seen, expected = diagnose(weighed), diagnose(written)
    for name in ("mean_weight", "mean_weight_z", "missing_mass_low", "overlap", "variance_ratio", "max_cluster_share"):
        assert getattr(seen, name) == pytest.approx(getattr(expected, name), rel=1e-6), name
    total = weighed.weights[:, 0]
    assert seen.effective_sample_size == effective(total) < effective(weighed.ratios[:, 0] * 1.0)


def test_equal_weights_change_nothing(twice):
    weighed, _ = twice
    rows = np.arange(len(weighed))
    plain, equal = (kept(weighed, np.full(len(weighed), keep), rows) for keep in (1.0, 0.25))
    for name in NAMES:
        assert named(name, plain).value == pytest.approx(named(name, equal).value)
        np.testing.assert_allclose(named(name, plain).contributions, named(name, equal).contributions)


def test_sums_over_what_is_kept_are_unbiased_by_enumeration():
    """Over all 2^8 subsets: the numerators and the denominator of every mean, each exactly right on average."""
    rounds, keep, _ = world(8, 3)
    chance, totals = 0.0, np.zeros(4)
    for drawn in product((False, True), repeat=len(rounds)):
        rows = np.array(drawn)
        probability = np.where(rows, keep, 1 - keep).prod()
        chance += probability
        if probability and rows.any():
            left = kept(rounds, keep, rows)
            size = float((1 / keep[rows]).sum())
            found = [ips(left).value, dr(left).value, float(left.weights.sum()) / len(left), 1.0]
            totals += probability * size * np.array(found)
    assert chance == pytest.approx(1)
    every = [ips(rounds).value, dr(rounds).value, float(rounds.weights.mean()), 1.0]
    np.testing.assert_allclose(totals, len(rounds) * np.array(every))


def test_values_are_unbiased_and_intervals_cover_over_logs_that_lost_most_of_their_zeros():
    """|z| < 4 and coverage within 3.5 binomial errors of 95 %; without the weights all of this fails by far."""
    runs, estimators = 300, (ips, snips, dm, dr, sndr, beta_ips)
    values, covered, naive = np.zeros((runs, len(estimators))), np.zeros(len(estimators)), np.zeros(runs)
    for run in range(runs):
        rounds, keep, g = world(1_500, 10_000 + run, users=300)
        left = kept(rounds, keep, g.random(len(rounds)) < keep)
        found = [estimator(left) for estimator in estimators]
        values[run] = [one.value for one in found]
        naive[run] = ips(Rounds.of(left.reward, left.propensity, left.target_probability)).value
        for number, one in enumerate(found):
            interval = clustered(one, left, 0.95)
            covered[number] += interval.low <= truth(one.base) <= interval.high
    for number, estimator in enumerate(estimators):
        error = values[:, number].std(ddof=1) / np.sqrt(runs)
        assert abs(values[:, number].mean() - truth("dm" if estimator is dm else "ips")) < 4 * error, estimator
        assert abs(covered[number] / runs - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / runs), estimator
    assert naive.mean() - TWO_CONTEXTS.value > 0.1


def truth(base: str) -> float:
    """What DM alone believes, or what is."""
    return float((TWO_CONTEXTS.target * MODEL).sum(axis=1).mean()) if base == "dm" else TWO_CONTEXTS.value


def test_transforms_bend_the_ratio_and_the_curve_runs_from_the_log_to_the_untouched_weight():
    rounds, keep, g = world(2_000, 5)
    left = kept(rounds, keep, g.random(len(rounds)) < keep)
    assert clipped_ips(left, 1e9).value == ips(left).value
    assert switch_dr(left, 0.0).value == pytest.approx(dm(left).value)
    clipped = np.minimum(left.ratios, 1.5)[:, 0] * left.reward[:, 0]
    assert clipped_ips(left, 1.5).value == pytest.approx(np.average(clipped, weights=left.sample_weight))
    answer = evaluate(left, families=("clip", "power"))
    assert answer.logging_value == pytest.approx(np.average(left.reward[:, 0], weights=left.sample_weight))
    assert answer.curve["bias_bound"].null_count() == len(answer.curve)
    ends = answer.curve.filter(base="snips", family="clip")["value"].drop_nulls()
    assert ends[0] == pytest.approx(answer.logging_value, abs=0.02)
    assert ends[-1] == snips(left).value


def test_what_is_not_derived_is_refused(twice):
    weighed, _ = twice
    declared = Rounds.of(
        weighed.reward, weighed.propensity, weighed.target_probability, reward_range=(0.0, 1.0), max_weight=3.0,
        sample_weight=weighed.sample_weight,
    )  # fmt: skip
    for asked in (
        lambda: hoeffding(ips(declared), declared, 0.95),
        lambda: evaluate(declared, methods=["truncated"]),
        lambda: evaluate(declared, methods=["betting"]),
        lambda: plan(weighed, 0.1),
        lambda: Stats.of(weighed),
        lambda: Rounds.of(*(np.ones((3, 2)),) * 3, sample_weight=np.ones(3)),
        lambda: Rounds.of(*(np.ones(3),) * 3, sample_weight=np.array([1.0, 0.0, 1.0])),
    ):
        with pytest.raises(InputError, match="OPE015"):
            asked()


@pytest.mark.parametrize("users", [None, 60])
def test_the_curve_of_sampled_rows_ends_in_the_closed_form_error(users):
    rounds, keep, g = world(400, 5, users)
    rows = np.flatnonzero(g.random(400) < keep)
    left = kept(rounds, keep, rows)
    for base in ("ips", "snips", "dr", "sndr"):
        last = curve(left, base, "clip")["se"][-1]
        assert last == pytest.approx(clustered(named(base, left), left, 0.95).standard_error)
