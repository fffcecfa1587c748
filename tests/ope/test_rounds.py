import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import dm, dr, ips, snips
from rlrec.ope.rounds import Rounds
from rlrec.ope.trajectories import Trajectories
from tests.ope.test_validation import LOG, LOGGERS, TARGETS, TWO_LOGGERS, spoil


def test_tables_become_arrays_in_order_of_request_and_position():
    rounds = Rounds.from_tables(LOG, TARGETS, "new", reward_range=(0.0, 1.0))
    np.testing.assert_array_equal(rounds.reward, [[0, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(rounds.propensity, [[0.3, 0.2], [0.4, 0.5], [0.25, 1.0]])
    np.testing.assert_array_equal(rounds.target_probability, [[0.4, 0.3], [0.5, 0.6], [0.2, 0.1]])
    np.testing.assert_array_equal(rounds.cluster, [0, 1, 1])
    assert rounds.mask.all()
    assert rounds.q_hat is None
    assert rounds.notes == ()


def test_row_order_and_laziness_do_not_matter():
    one = Rounds.from_tables(LOG, TARGETS, "new")
    two = Rounds.from_tables(LOG.sample(fraction=1, shuffle=True, seed=1).lazy(), TARGETS.lazy(), "new")
    np.testing.assert_array_equal(one.weights, two.weights)


def test_short_requests_are_masked_and_text_ids_are_fine():
    text = LOG.with_columns(pl.col("event", "request", "user").cast(pl.String)).filter(pl.col("event") != "11")
    rounds = Rounds.from_tables(text, TARGETS.with_columns(pl.col("event").cast(pl.String)), "new")
    np.testing.assert_array_equal(rounds.mask, [[True, True], [True, False], [True, True]])
    assert rounds.weights[1, 1] == 0
    assert rounds.notes == ("OPE025 1 target rows belong to no logged event and were not used",)


def test_one_of_several_policies_is_taken():
    other = TARGETS.with_columns(target_policy=pl.lit("old"), target_probability=pl.lit(0.5))
    rounds = Rounds.from_tables(LOG, pl.concat([TARGETS, other]), "old")
    assert (rounds.target_probability == 0.5).all()
    with pytest.raises(InputError, match="no target policy 'never'") as caught:
        Rounds.from_tables(LOG, pl.concat([TARGETS, other]), "never")
    assert "new, old" in str(caught.value)


def test_predictions_come_along_or_not_at_all():
    predicted = TARGETS.with_columns(q_hat=pl.lit(0.3), q_hat_target=pl.lit(0.4))
    assert (Rounds.from_tables(LOG, predicted, "new").direct == 0.4).all()
    empty = predicted.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in ("q_hat", "q_hat_target"))
    assert Rounds.from_tables(LOG, empty, "new").q_hat is None
    with pytest.raises(InputError, match="OPE024 q_hat is empty or not a number: 1 rows, first events 13"):
        Rounds.from_tables(LOG, spoil(predicted, "q_hat", 13, None), "new")


def test_loggers_are_mixed_by_their_share_of_requests_and_replace_the_propensity():
    loggers = LOGGERS.sample(fraction=1.0, shuffle=True, seed=0)
    rounds = Rounds.from_tables(TWO_LOGGERS.drop("propensity"), TARGETS, "new", loggers=loggers)
    first, second = LOGGERS["logging_probability"].to_numpy().reshape(2, 6)
    p = dict(zip(LOG["event"].to_list(), first / 3 + 2 * second / 3, strict=True))
    np.testing.assert_allclose(rounds.propensity, [[p[13], p[14]], [p[12], p[11]], [p[15], p[16]]])
    assert not rounds.notes
    (note,) = Rounds.from_tables(TWO_LOGGERS, TARGETS, "new").notes
    assert note.startswith("OPE011 2 logging policies")


def test_kinds_of_probability():
    falling = LOG.with_columns(
        propensity=pl.Series([0.1, 0.4, 0.5, 0.2, 0.25, 0.25]), propensity_kind=pl.lit("cascade")
    )
    down = TARGETS.with_columns(
        target_probability=pl.Series([0.1, 0.2, 0.3, 0.4, 0.5, 0.4]), q_hat=0.5, q_hat_target=2.0
    )
    rounds = Rounds.from_tables(falling, down, "new", kind="cascade")
    np.testing.assert_allclose(rounds.direct[0], [2.0, 2.0 * 0.4 / 0.5])  # the ratio of the list above
    with pytest.raises(InputError, match="OPE009 propensity_kind is not slate"):
        Rounds.from_tables(falling, down, "new", kind="slate")
    with pytest.raises(InputError, match="OPE009 target_probability rises down the slate: 1 rows"):
        Rounds.from_tables(falling, spoil(down, "target_probability", 14, 0.9), "new", kind="cascade")
    unnamed = falling.drop("propensity_kind")
    with pytest.raises(InputError, match="OPE009 propensity differs within one request"):
        Rounds.from_tables(unnamed, down, "new", kind="slate")


def test_episodes_and_steps_become_products_of_ratios():
    g = np.random.default_rng(0)
    columns = (pl.Series("propensity", g.uniform(0.2, 1, 6)), pl.Series("reward", g.uniform(0.2, 1, 6)))
    log = LOG.with_columns(*columns).filter(pl.col("event") != 14)
    targets = TARGETS.with_columns(target_probability=pl.Series(g.uniform(0, 1, 6)), q_hat=0.5, q_hat_target=2.0)
    rounds = Rounds.from_tables(log, targets, "new", kind="trajectory", discount=0.5)
    plain = Rounds.from_tables(log, targets, "new")
    steps = Trajectories(
        plain.reward, plain.propensity, plain.target_probability, plain.mask, 0.5,
        q_hat=np.full((3, 2), 0.5), v_hat=np.full((3, 2), 2.0),
    )  # fmt: skip
    for estimator in (ips, snips):
        assert estimator(rounds).value == pytest.approx(estimator(steps.stepwise()).value)
    assert dr(rounds).value == pytest.approx(ips(steps.doubly_robust()).value)
    with pytest.raises(InputError, match="OPE016 position skips a step"):
        Rounds.from_tables(LOG.filter(pl.col("event") != 13), TARGETS, "new", kind="trajectory")


def test_arrays_are_checked_too():
    good = (np.ones(3), np.ones(3), np.ones(3))
    for bad in (
        {"reward": np.array([1, np.nan, 1])},
        {"propensity": np.array([0.0, 1, 1])},
        {"target_probability": np.array([1.5, 1, 1])},
        {"target_probability": np.ones(2)},
        {"q_hat": np.ones(3)},
        {"reward_range": (0.0, 0.5)},
        {"max_weight": 0.9},
        {"reward": np.ones(0)},
    ):
        with pytest.raises(InputError):
            Rounds.of(**(dict(zip(("reward", "propensity", "target_probability"), good, strict=True)) | bad))


def test_a_cascade_goes_on_below_a_position_that_is_missing():
    """Target and logger are the same and every item earns 1, as predicted: DR and DM are the mean length of a list."""
    request, position = [1, 1, 1, 2, 2], [1, 2, 3, 1, 3]
    event, down = np.arange(5), 0.5 ** np.array([1.0, 2.0, 3.0, 1.0, 2.0])
    logged = pl.DataFrame(
        {"event": event, "request": request, "user": request, "position": position, "reward": 1.0, "propensity": down}
    )
    targets = pl.DataFrame(
        {"event": event, "target_policy": "new", "target_probability": down, "q_hat": 1.0, "q_hat_target": 1.0}
    )
    rounds = Rounds.from_tables(logged, targets, "new", kind="cascade")
    assert [one(rounds).value for one in (ips, dm, dr)] == pytest.approx([2.5] * 3)
