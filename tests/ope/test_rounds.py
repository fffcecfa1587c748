import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import dr, ips, snips
from rlrec.ope.rounds import Rounds
from rlrec.ope.trajectories import Trajectories
from rlrec.ope.validation import matched

LOG = pl.DataFrame(
    {
        "event": [11, 12, 13, 14, 15, 16],
        "request": [2, 2, 1, 1, 3, 3],
        "user": [7, 7, 5, 5, 7, 7],
        "position": [2, 1, 1, 2, 1, 2],
        "reward": [0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
        "propensity": [0.5, 0.4, 0.3, 0.2, 0.25, 1.0],
    }
)
TARGETS = pl.DataFrame(
    {
        "event": [16, 15, 14, 13, 12, 11],
        "target_policy": ["new"] * 6,
        "target_probability": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    }
)


def spoil(frame: pl.DataFrame, column: str, event: int, value: object) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(pl.col("event") == event)
        .then(pl.lit(value, dtype=frame.schema[column]))
        .otherwise(column)
        .alias(column)
    )


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


TWO_LOGGERS = LOG.with_columns(logging_policy=pl.Series(["b", "b", "a", "a", "b", "b"]))
LOGGERS = pl.DataFrame(
    {
        "event": LOG["event"].to_list() * 2,
        "logging_policy": ["a"] * 6 + ["b"] * 6,
        "logging_probability": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9, 0.8, 0.7, 0.6, 0.0, 1.0],
    }
)


def test_loggers_are_mixed_by_their_share_of_requests_and_replace_the_propensity():
    loggers = LOGGERS.sample(fraction=1.0, shuffle=True, seed=0)
    rounds = Rounds.from_tables(TWO_LOGGERS.drop("propensity"), TARGETS, "new", loggers=loggers)
    first, second = LOGGERS["logging_probability"].to_numpy().reshape(2, 6)
    p = dict(zip(LOG["event"].to_list(), first / 3 + 2 * second / 3, strict=True))
    np.testing.assert_allclose(rounds.propensity, [[p[13], p[14]], [p[12], p[11]], [p[15], p[16]]])
    assert not rounds.notes
    (note,) = Rounds.from_tables(TWO_LOGGERS, TARGETS, "new").notes
    assert note.startswith("OPE011 2 logging policies")


BAD_LOGGERS = {
    "OPE011 logging_policy is empty": (spoil(TWO_LOGGERS, "logging_policy", 11, None), LOGGERS),
    "OPE011 logging_policy differs": (spoil(TWO_LOGGERS, "logging_policy", 11, "a"), LOGGERS),
    "OPE011 logging_policy has several": (TWO_LOGGERS, pl.concat([LOGGERS, LOGGERS.head(1)])),
    "OPE011 logging_probability is not": (TWO_LOGGERS, spoil(LOGGERS, "logging_probability", 13, 1.5)),
    "OPE011 event has no probability": (TWO_LOGGERS, LOGGERS.head(11)),
}


@pytest.mark.parametrize("says", BAD_LOGGERS)
def test_loggers_are_checked(says):
    log, loggers = BAD_LOGGERS[says]
    with pytest.raises(InputError) as caught:
        Rounds.from_tables(log, TARGETS, "new", loggers=loggers)
    assert says in str(caught.value)
    assert "first events" in str(caught.value)


def test_a_log_needs_the_names_of_its_loggers_and_they_their_columns():
    for log, loggers, column in (
        (LOG, LOGGERS, "logging_policy"),
        (TWO_LOGGERS, LOGGERS.drop("logging_probability"), "logging_probability"),
    ):
        with pytest.raises(InputError, match="required columns are missing") as caught:
            Rounds.from_tables(log, TARGETS, "new", loggers=loggers)
        assert caught.value.column == column


BAD = {
    "OPE001 event is empty": (spoil(LOG, "event", 11, None), TARGETS),
    "OPE001 event is repeated": (
        pl.concat([LOG, LOG.head(1).with_columns(position=pl.lit(3, dtype=pl.Int64))]),
        TARGETS,
    ),
    "OPE002 request is empty": (spoil(LOG, "request", 11, None), TARGETS),
    "OPE002 user is empty": (spoil(LOG, "user", 11, None), TARGETS),
    "OPE002 user differs": (spoil(LOG, "user", 11, 8), TARGETS),
    "OPE004 position is empty": (spoil(LOG, "position", 11, None), TARGETS),
    "OPE004 position is repeated": (spoil(LOG, "position", 11, 1), TARGETS),
    "OPE006 reward is empty or not a number": (spoil(LOG, "reward", 11, float("nan")), TARGETS),
    "OPE006 reward lies outside the declared range [0, 1] (seen: 0 to 1.5)": (spoil(LOG, "reward", 11, 1.5), TARGETS),
    "OPE007 propensity is empty": (spoil(LOG, "propensity", 11, None), TARGETS),
    "OPE007 propensity is not in": (spoil(LOG, "propensity", 11, 0.0), TARGETS),
    "OPE009 propensity_kind": (LOG.with_columns(propensity_kind=pl.lit("slate")), TARGETS),
    "OPE020 event has no row": (LOG, TARGETS.head(4)),
    "OPE021 event has several": (LOG, pl.concat([TARGETS, TARGETS.head(2)])),
    "OPE022 target_probability": (LOG, spoil(TARGETS, "target_probability", 13, 1.5)),
}


@pytest.mark.parametrize("says", BAD)
def test_every_code_has_a_file_that_raises_it(says):
    log, targets = BAD[says]
    with pytest.raises(InputError) as caught:
        Rounds.from_tables(log, targets, "new", reward_range=(0.0, 1.0), file="some.parquet")
    assert says in str(caught.value)
    assert caught.value.file == "some.parquet"
    assert caught.value.column
    assert caught.value.rows
    assert caught.value.remedy
    assert "first events" in str(caught.value)


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


@pytest.mark.parametrize("value", [-0.1, 1.0001, float("inf"), float("nan")])
def test_propensities_are_probabilities(value):
    with pytest.raises(InputError, match="OPE007"):
        Rounds.from_tables(spoil(LOG, "propensity", 13, value), TARGETS, "new")


def test_all_problems_are_collected_then_reported_once():
    log = spoil(spoil(LOG, "propensity", 11, None), "reward", 13, float("inf"))
    with pytest.raises(InputError) as caught:
        Rounds.from_tables(log, spoil(TARGETS, "target_probability", 15, -1.0), "new")
    text = str(caught.value)
    assert all(code in text for code in ("OPE006", "OPE007", "OPE022"))
    assert caught.value.column == "reward, propensity, target_probability"


def test_only_the_first_five_events_are_named():
    with pytest.raises(InputError) as caught:
        Rounds.from_tables(LOG.with_columns(propensity=pl.lit(0.0)), TARGETS, "new")
    assert "6 rows, first events 11, 12, 13, 14, 15;" in str(caught.value).replace("\n", ";")


def test_missing_columns_types_and_strangers():
    with pytest.raises(InputError) as caught:
        Rounds.from_tables(LOG.drop("propensity", "user"), TARGETS, "new")
    assert caught.value.column == "user, propensity"
    with pytest.raises(InputError, match="expected a number"):
        Rounds.from_tables(LOG.with_columns(pl.col("reward").cast(pl.String)), TARGETS, "new")
    with pytest.raises(InputError, match="event is"):
        Rounds.from_tables(LOG, TARGETS.with_columns(pl.col("event").cast(pl.String)), "new")
    with pytest.raises(InputError, match="no event of the targets"):
        Rounds.from_tables(LOG, TARGETS.with_columns(pl.col("event") + 100), "new")
    with pytest.raises(InputError, match="no rows"):
        Rounds.from_tables(LOG.clear(), TARGETS, "new")


def test_remarks_and_estimated_propensities():
    log = LOG.with_columns(propensity=pl.lit(1.0), propensity_source=pl.lit("estimated"))
    rounds = Rounds.from_tables(log, TARGETS, "new")
    assert rounds.propensity_estimated
    assert [note[:6] for note in rounds.notes] == ["OPE008", "OPE010"]
    alone = matched(
        LOG.filter(pl.col("position") == 1).with_columns(propensity_kind=pl.lit("slate")), TARGETS, "new", None
    )
    assert len(alone.frame) == 3


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
