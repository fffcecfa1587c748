"""Estimated propensities: they find the truth, sum to one, never look at their own user or at what comes later."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from rlrec.feedback.propensity import Frequency, estimated

TRUTH = np.array([0.5, 0.3, 0.15, 0.05])
START = datetime(2024, 1, 1)
RECIPE = Frequency()


def log(rows: int, seed: int = 0) -> pl.DataFrame:
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "event": range(rows),
            "user": draw.integers(1, 50, rows),
            "at": [START + timedelta(minutes=n) for n in range(rows)],
            "position": [0] * rows,
            "item": draw.choice(len(TRUTH), rows, p=TRUTH) + 1,
        },
        schema_overrides={"user": pl.Int32, "item": pl.Int32, "position": pl.Int16},
    ).with_columns(
        propensity=pl.lit(None, pl.Float64), propensity_kind=pl.lit("item_position"),
        propensity_source=pl.lit("missing"), logging_policy=pl.lit("a"), logging_policy_version=pl.lit("1"),
        candidates_id=pl.lit(None, pl.Int64),
    )  # fmt: skip


def fill(slates, **more):
    return estimated(slates.lazy(), RECIPE, len(TRUTH), **more).collect()


def error(rows: int) -> float:
    filled = fill(log(rows))
    return float(np.abs(filled["propensity"].to_numpy() - TRUTH[filled["item"].to_numpy() - 1]).mean())


def test_the_truth_is_found_as_rows_grow():
    assert error(20_000) < error(200)
    assert error(20_000) < 0.01


@pytest.mark.parametrize("offered", [None, [1, 3, 4]])
def test_they_sum_to_one_over_the_choice(offered):
    items = offered or [1, 2, 3, 4]
    rest = log(500).with_columns(user=pl.lit(1, pl.Int32))
    asked = log(4).head(len(items)).with_columns(
        event=pl.int_range(1000, 1000 + len(items)), user=pl.lit(2, pl.Int32), item=pl.Series(items, dtype=pl.Int32),
        candidates_id=pl.lit(7 if offered else None, pl.Int64),
    )  # fmt: skip
    candidates = pl.LazyFrame({"candidates_id": [7] * 3, "item": [1, 3, 4]}, schema_overrides={"item": pl.Int32})
    filled = fill(pl.concat([rest, asked]), candidates=candidates).filter(pl.col("event") >= 1000)
    assert filled["propensity"].sum() == pytest.approx(1, abs=1e-9)


def test_a_users_rows_do_not_touch_his_own_propensities():
    slates, his = log(500), pl.col("user") == 7
    changed = slates.with_columns(
        logging_policy=pl.when(his & (pl.col("event") % 2 == 0)).then(pl.lit("b")).otherwise("logging_policy")
    )
    same = his & (pl.col("event") % 2 == 1)
    assert fill(changed).filter(same).equals(fill(slates).filter(same))
    assert not fill(changed).filter(~his).equals(fill(slates).filter(~his))


def test_later_rows_and_the_order_of_rows_do_not_count():
    slates, until = log(500), START + timedelta(minutes=250)
    early = pl.col("at") < until
    assert fill(slates, until=until).filter(early).equals(fill(slates.filter(early)))
    assert fill(slates.sample(fraction=1, shuffle=True, seed=1)).equals(fill(slates))


def test_recorded_ones_stand_and_only_filled_ones_are_marked():
    recorded = pl.col("event") % 3 == 0
    slates = log(500).with_columns(
        propensity=pl.when(recorded).then(0.1 + 0.2),
        propensity_source=pl.when(recorded).then(pl.lit("logged")).otherwise(pl.lit("missing")),
    )
    filled = fill(slates)
    assert filled.filter(recorded).equals(slates.filter(recorded))
    assert set(filled.filter(~recorded)["propensity_source"]) == {"estimated"}
