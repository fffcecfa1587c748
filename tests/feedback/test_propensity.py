"""Estimated propensities: they find the truth, sum to one, never look at their own user or at what comes later."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from rlrec.feedback.frequencies import Frequency
from rlrec.feedback.logistic import Logistic
from rlrec.feedback.propensity import calibration_error, fit, log_loss

TRUTH = np.array([0.5, 0.3, 0.15, 0.05])
NIGHT = np.array([0.05, 0.15, 0.3, 0.5])
START = datetime(2024, 1, 1)
OFFERED = [1, 3, 4]
MODELS = [Frequency(), Logistic(heads=2, bins=2)]


def log(rows: int, seed: int = 0, *, night: np.ndarray = TRUTH, listed: bool = False) -> pl.DataFrame:
    """Slates of one position whose law at night is another one; `listed` ones choose among three candidates."""
    draw = np.random.default_rng(seed)
    at = [START + timedelta(minutes=37 * n) for n in range(rows)]
    items = np.array(OFFERED if listed else [1, 2, 3, 4])
    laws = np.array([(TRUTH if moment.hour < 12 else night)[items - 1] for moment in at])
    laws /= laws.sum(axis=1, keepdims=True)
    chosen = (laws.cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1)
    return pl.DataFrame(
        {
            "event": range(rows),
            "user": draw.integers(1, 50, rows),
            "at": at,
            "position": [0] * rows,
            "item": items[chosen],
            "law": laws[np.arange(rows), chosen],
        },
        schema_overrides={"user": pl.Int32, "item": pl.Int32, "position": pl.Int16},
    ).with_columns(
        propensity=pl.lit(None, pl.Float64), propensity_kind=pl.lit("item_position"),
        propensity_source=pl.lit("missing"), logging_policy=pl.lit("a"), logging_policy_version=pl.lit("1"),
        candidates_id=pl.lit(7 if listed else None, pl.Int64),
    )  # fmt: skip


def fill(slates, recipe=MODELS[0], learned=None, candidates=None):
    learned = slates if learned is None else learned
    return fit(learned.lazy(), recipe, len(TRUTH), candidates).fill(slates.lazy()).collect()


def table(ids: list[int]) -> pl.LazyFrame:
    rows = [(number, item) for number in ids for item in OFFERED]
    return pl.LazyFrame(rows, schema={"candidates_id": pl.Int64, "item": pl.Int32}, orient="row")


@pytest.mark.parametrize("recipe", MODELS)
def test_the_truth_is_found_as_rows_grow(recipe):
    def error(rows: int) -> float:
        filled = fill(log(rows), recipe)
        return (filled["propensity"] - filled["law"]).abs().mean()

    assert error(20_000) < error(200)
    assert error(20_000) < 0.01


@pytest.mark.parametrize("listed", [False, True])
def test_a_policy_that_looks_at_the_hour_is_told_by_the_logistic_model(listed):
    slates, candidates = log(20_000, night=NIGHT, listed=listed), table([7]) if listed else None
    frequency, logistic = (fill(slates, recipe, candidates=candidates) for recipe in (Frequency(), Logistic()))
    truth = -slates["law"].log().mean()
    losses = [log_loss(filled.lazy()) for filled in (frequency, logistic)]
    assert losses[0] > truth + 0.1
    assert losses[1] < truth + 0.01
    assert (logistic["propensity"] - slates["law"]).abs().mean() < 0.02


@pytest.mark.parametrize("listed", [False, True])
def test_a_policy_that_looks_at_nothing_is_told_no_better_by_it(listed):
    slates, candidates = log(20_000, listed=listed), table([7]) if listed else None
    frequency, logistic = (
        log_loss(fill(slates, recipe, candidates=candidates).lazy()) for recipe in (Frequency(), Logistic())
    )
    assert logistic == pytest.approx(frequency, abs=2e-3)
    assert logistic > frequency - 2e-4


@pytest.mark.parametrize("recipe", MODELS)
@pytest.mark.parametrize("offered", [None, OFFERED])
def test_they_sum_to_one_over_the_choice(offered, recipe):
    items = offered or [1, 2, 3, 4]
    rest = log(500, night=NIGHT).with_columns(user=pl.int_range(500).cast(pl.Int32) % 4 + 5)
    asked = log(4).head(len(items)).with_columns(
        event=pl.int_range(1000, 1000 + len(items)), user=pl.lit(2, pl.Int32), item=pl.Series(items, dtype=pl.Int32),
        candidates_id=pl.lit(7 if offered else None, pl.Int64), at=pl.lit(START),
    )  # fmt: skip
    filled = fill(pl.concat([rest, asked]), recipe, candidates=table([7])).filter(pl.col("event") >= 1000)
    assert filled["propensity"].sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("recipe", MODELS)
def test_a_users_rows_do_not_touch_his_own_propensities(recipe):
    slates, his = log(500), pl.col("user") == 7
    changed = slates.with_columns(
        logging_policy=pl.when(his & (pl.col("event") % 2 == 0)).then(pl.lit("b")).otherwise("logging_policy")
    )
    same = his & (pl.col("event") % 2 == 1)
    assert fill(changed, recipe).filter(same).equals(fill(slates, recipe).filter(same))
    assert not fill(changed, recipe).filter(~his).equals(fill(slates, recipe).filter(~his))


@pytest.mark.parametrize("recipe", MODELS)
def test_rows_that_are_not_learned_from_and_the_order_of_rows_do_not_count(recipe):
    slates = log(500)
    early = pl.col("event") < 250
    learned = slates.filter(early)
    assert fill(slates, recipe, learned).filter(early).equals(fill(learned, recipe))
    assert fill(slates.sample(fraction=1, shuffle=True, seed=1), recipe).equals(fill(slates, recipe))


def test_recorded_ones_stand_and_only_filled_ones_are_marked():
    recorded = pl.col("event") % 3 == 0
    slates = log(500).with_columns(
        propensity=pl.when(recorded).then(0.1 + 0.2),
        propensity_source=pl.when(recorded).then(pl.lit("logged")).otherwise(pl.lit("missing")),
    )
    filled = fill(slates)
    assert filled.filter(recorded).equals(slates.filter(recorded))
    assert set(filled.filter(~recorded)["propensity_source"]) == {"estimated"}


@pytest.mark.parametrize("recipe", MODELS)
@pytest.mark.parametrize("listed", [False, True])
def test_reliability_counts_every_choice_once_and_tells_a_wrong_model(recipe, listed):
    slates = log(4000, night=NIGHT, listed=listed)
    model = fit(slates.lazy(), recipe, len(TRUTH), table([7]))
    found = model.reliability(model.fill(slates.lazy()))
    assert found["shown"].sum() == 4000
    assert found["choices"].sum() == 4000 * (3 if listed else 4)
    assert (found["predicted"] * found["choices"]).sum() == pytest.approx(4000)
    assert found.filter((pl.col("predicted") < pl.col("low")) | (pl.col("predicted") > pl.col("high"))).is_empty()
    assert calibration_error(found) < 0.1
    day = slates.filter(pl.col("at").dt.hour() < 12).with_columns(candidates_id=pl.lit(None, pl.Int64))
    wrong = fit(day.with_columns(item=5 - pl.col("item")).lazy(), recipe, len(TRUTH))
    assert calibration_error(wrong.reliability(wrong.fill(day.lazy()))) > 0.3
