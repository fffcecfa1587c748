import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.comparison import logged, simultaneous, summed
from rlrec.ope.estimators import dr, ips, snips
from rlrec.ope.groups import OUTSIDE, GroupLog, group_advantages
from rlrec.ope.intervals import hoeffding
from rlrec.ope.rounds import Rounds


def log(seed: int = 0, count: int = 400, size: int = 5, uniform: bool = False) -> GroupLog:
    """Every item of a small catalogue is a candidate."""
    g = np.random.default_rng(seed)
    logging = np.full((count, size), 1 / size) if uniform else g.dirichlet(np.ones(size), size=count) * 0.9 + 0.1 / size
    shown = (g.random(count)[:, None] > logging.cumsum(axis=1)).sum(axis=1).clip(max=size - 1)
    reward = g.normal(size=count) + shown
    mask = np.ones((count, size), dtype=bool)
    return GroupLog(
        reward,
        logging[np.arange(count), shown],
        g.normal(size=(count, size)),
        mask,
        shown,
        q=g.normal(size=(count, size)),
    )


def like(one: GroupLog, **given) -> GroupLog:
    return GroupLog(**({name: getattr(one, name) for name in GroupLog.__dataclass_fields__} | given))


def test_uniform_on_uniform_is_the_mean_reward_and_one_candidate_too():
    one = log(uniform=True)
    flat = like(one, scores=np.zeros_like(one.scores))
    assert ips(flat.in_group(1.0)).value == pytest.approx(one.reward.mean())
    single = GroupLog(
        one.reward, np.ones(400), np.zeros((400, 1)), np.ones((400, 1), dtype=bool), np.zeros(400, dtype=int)
    )
    assert ips(single.in_group(0.3)).value == pytest.approx(one.reward.mean())


def test_scores_may_shift_and_candidates_change_places():
    one = log()
    order = np.random.default_rng(1).permutation(5)
    moved = like(one, scores=(one.scores + 7)[:, order], q=one.q[:, order], shown=np.argsort(order)[one.shown])
    for estimator in (ips, snips, dr):
        assert estimator(moved.in_group(0.5)).value == pytest.approx(estimator(one.in_group(0.5)).value)


def test_the_whole_catalogue_as_group_is_the_catalogue():
    one = log()
    target = one.probabilities(0.7)
    plain = Rounds.of(
        one.reward, one.propensity, target[np.arange(400), one.shown],
        q_hat=one.q[np.arange(400), one.shown], q_hat_target=(target * one.q).sum(axis=1),
    )  # fmt: skip
    for estimator in (ips, snips, dr):
        expected = estimator(plain).value
        assert estimator(one.in_group(0.7)).value == pytest.approx(expected)
        assert estimator(one.over_catalogue(0.7)).value == pytest.approx(expected)


def test_a_cold_softmax_replays_the_best():
    one = log(uniform=True)
    agree = one.shown == one.scores.argmax(axis=1)
    assert snips(one.in_group(0.0)).value == pytest.approx(one.reward[agree].mean())
    assert snips(one.in_group(1e-4)).value == pytest.approx(one.reward[agree].mean(), rel=1e-3)


def partly(seed: int) -> GroupLog:
    """Three of five items are candidates; the rest of what was shown lies outside."""
    one = log(seed, count=6_000)
    g = np.random.default_rng(seed)
    catalogue = g.dirichlet(np.ones(5)) * 0.9 + 0.02
    item = g.choice(5, size=6_000, p=catalogue)
    inside = item < 3
    mean = np.array([0.2, 0.5, 0.9, 0.3, 0.1])
    return GroupLog(
        reward=(g.random(6_000) < mean[item]).astype(float),
        propensity=catalogue[item],
        scores=np.tile([0.3, 0.1, 0.5], (6_000, 1)),
        mask=np.ones((6_000, 3), dtype=bool),
        shown=np.where(inside, item, OUTSIDE),
        kappa=np.full(6_000, catalogue[:3].sum()),
        cluster=one.cluster,
    )


def test_the_two_estimands_differ_by_kappa_alone():
    one = partly(3)
    inner, outer = one.in_group(1.0), one.over_catalogue(1.0)
    assert len(inner) == round(one.coverage * 6_000)
    assert len(outer) == 6_000
    assert ips(outer).value == pytest.approx(ips(inner).value * one.coverage / one.mass[0])
    truth = one.probabilities(1.0)[0] @ [0.2, 0.5, 0.9]
    for rounds in (inner, outer):  # κ is the same for every request here, so both estimate the re-ranker's value
        assert abs(ips(rounds).value - truth) < 4 * ips(rounds).standard_error
    assert "in-group" in inner.notes[0]


def test_what_was_shown_outside_the_group_only_has_a_prediction_of_the_policy():
    one = partly(5)
    q = np.tile([0.3, 0.6, 0.8], (6_000, 1))
    found = dr(like(one, q=q).over_catalogue(1.0))
    inside, target = one.shown != OUTSIDE, one.probabilities(1.0)
    weight = np.where(inside, target[np.arange(6_000), one.shown] / one.propensity, 0.0)
    expected = (target * q).sum(axis=1) + weight * (one.reward - q[0, one.shown])
    np.testing.assert_allclose(found.contributions, expected)


def test_a_hopeless_candidate_changes_the_group_but_not_the_catalogue_value():
    one = partly(4)
    extra = like(
        one,
        scores=np.hstack((one.scores, np.full((6_000, 1), -np.inf))),
        mask=np.ones((6_000, 4), dtype=bool),
        kappa=one.mass + 0.01,
    )
    assert ips(extra.over_catalogue(1.0)).value == pytest.approx(ips(one.over_catalogue(1.0)).value)
    assert ips(extra.in_group(1.0)).value != pytest.approx(ips(one.in_group(1.0)).value)


def test_masked_places_are_no_candidates():
    one = log()
    wider = like(
        one, scores=np.hstack((one.scores, np.full((400, 2), 99.0))), q=np.hstack((one.q, np.full((400, 2), np.nan))),
        mask=np.hstack((one.mask, np.zeros((400, 2), dtype=bool))),
    )  # fmt: skip
    assert dr(wider.in_group(1.0)).value == pytest.approx(dr(one.in_group(1.0)).value)


def test_uniform_logging_bounds_the_weights_by_the_size_of_the_group():
    one = like(log(uniform=True), reward_range=(-10.0, 20.0))
    rounds = one.in_group(0.2, max_weight=5.0)
    assert rounds.weights.max() <= 5.0
    assert hoeffding(ips(rounds), rounds, 0.95).validity == "finite"


def test_improvement_over_a_reference_is_one_paired_difference():
    one = log()
    new, old = one.in_group(0.3), one.in_group(2.0)
    found = [summed(name, dr(rounds), rounds, seed=0) for name, rounds in (("new", new), ("old", old))]
    (gap,) = simultaneous(found, 0.95, seed=0, contrasts=np.array([[1.0, -1.0]]))
    target, reference = one.probabilities(0.3), one.probabilities(2.0)
    index = np.arange(400)
    phi = ((target - reference) * one.q).sum(axis=1) + (new.weights - old.weights)[:, 0] * (
        one.reward - one.q[index, one.shown]
    )
    assert (gap.low + gap.high) / 2 == pytest.approx(phi.mean())
    assert gap.standard_error == pytest.approx(phi.std() / 20, rel=0.1)
    assert logged(new, seed=0).value == pytest.approx(one.reward.mean())


def test_advantages_sum_to_zero_and_ignore_what_is_no_candidate():
    one = log()
    mask = one.mask.copy()
    mask[:, 4] = False
    found = group_advantages(one.q, mask)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose((found**2).sum(axis=1), 4)
    assert (found[:, 4] == 0).all()
    assert (group_advantages(np.ones((2, 3)), np.ones((2, 3), dtype=bool)) == 0).all()


def test_contradictions_are_refused():
    one = log()
    with pytest.raises(InputError, match="OPE012 the shown item"):
        like(one, shown=np.full(400, 5))
    with pytest.raises(InputError, match="OPE012 candidates are less likely"):
        like(one, kappa=one.propensity / 2)
