from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from rlrec.errors import InputError
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats
from rlrec.ope.streaming import stats_of_batches
from rlrec.ope.transforms import Transform
from tests.ope.test_statistics import ANY

POSITIONS = (1, 2, 3)


def log(count: int = 300, seed: int = 0) -> pl.DataFrame:
    """Requests of up to three rows, users numbered without gaps, targets beside the log."""
    g = np.random.default_rng(seed)
    request, position = np.repeat(np.arange(count), 3), np.tile(POSITIONS, count)
    rows = 3 * count
    frame = pl.DataFrame(
        {
            "event": np.arange(rows),
            "request": request,
            "user": (np.arange(count) % 50)[request],
            "position": position,
            "reward": g.normal(size=rows),
            "propensity": g.uniform(0.05, 1.0, rows),
            "target_probability": g.uniform(size=rows) * (g.random(rows) > 0.1),
            "q_hat": g.normal(size=rows),
            "q_hat_target": g.normal(size=rows),
        }
    )
    return frame.filter((position == 1) | (g.random(rows) > 0.3))


def in_memory(frame: pl.DataFrame, transforms: Sequence[Transform] = ()) -> Stats:
    targets = frame.select("event", "target_probability", "q_hat", "q_hat_target", target_policy=pl.lit("new"))
    return Stats.of(Rounds.from_tables(frame, targets, "new"), transforms)


@pytest.mark.parametrize("size", [1, 7, 250, 10_000])
def test_a_stream_of_record_batches_gives_the_sums_of_memory(size):
    frame = log()
    batches = pa.RecordBatchReader.from_batches(
        (table := frame.to_arrow()).schema,
        [pa.RecordBatch.from_pylist([], table.schema), *table.to_batches(max_chunksize=size)],
    )
    found, expected = stats_of_batches(batches, POSITIONS, ANY), in_memory(frame, ANY)
    np.testing.assert_array_equal(found.requests, expected.requests)
    np.testing.assert_allclose(found.cells, expected.cells, rtol=1e-12, atol=1e-13)
    assert found.max_weight == expected.max_weight
    assert found.has_model
    assert found.predicted == expected.predicted
    for transform in ANY:
        np.testing.assert_allclose(found.bent[transform], expected.bent[transform], rtol=1e-12, atol=1e-13)


def test_days_merge():
    frame = log()
    first, second = (frame.filter((pl.col("request") < 130) == early) for early in (True, False))
    merged = stats_of_batches([first], POSITIONS) + stats_of_batches([second], POSITIONS)
    np.testing.assert_allclose(merged.cells, in_memory(frame).cells, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(merged.requests, in_memory(frame).requests)


def test_text_users_stay_together_and_predictions_may_be_missing():
    frame = log().drop("q_hat").with_columns(pl.format("user-{}", "user").alias("user"))
    found = stats_of_batches(frame.iter_slices(100), POSITIONS)
    assert not found.has_model
    assert found.n == 300
    assert 40 <= found.present.sum() <= 50
    assert found.value("snips") == pytest.approx(in_memory(log()).value("snips"))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ({"propensity": pl.lit(0.0)}, "OPE007"),
        ({"target_probability": pl.lit(1.5)}, "OPE022"),
        ({"reward": pl.lit(float("nan"))}, "OPE006"),
        ({"q_hat": pl.lit(None, pl.Float64)}, "OPE024"),
        ({"user": pl.lit(None, pl.Int64)}, "OPE002"),
        ({"position": pl.lit(9)}, "OPE004"),
        ({"keep_probability": pl.lit(0.5)}, "OPE015"),
        ({"request": -pl.col("request")}, "do not rise"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(harm, says):
    with pytest.raises(InputError, match=says) as caught:
        stats_of_batches(log().with_columns(**harm).iter_slices(100), POSITIONS)
    assert caught.value.rows
    assert caught.value.remedy


def test_columns_are_required():
    with pytest.raises(InputError) as caught:
        stats_of_batches([log().drop("user", "propensity")], POSITIONS)
    assert caught.value.column == "user, propensity"


def test_estimated_propensities_are_counted_and_what_no_sum_can_mend_is_refused():
    frame = log(40).with_columns(propensity_source=pl.lit("estimated"), propensity_kind=pl.lit("item_position"))
    assert stats_of_batches([frame[:50], frame[50:]], POSITIONS).estimated_rows == len(frame)
    again = [frame[:2], frame[1:3]]  # the first request goes on, and repeats a position
    with pytest.raises(InputError, match="OPE004 position is repeated"):
        stats_of_batches(again, POSITIONS)
    with pytest.raises(InputError, match="OPE004 position is repeated"):
        stats_of_batches([pl.concat([frame[:1], frame[:1]])], POSITIONS)
    with pytest.raises(InputError, match="OPE002 request is empty"):
        stats_of_batches([frame.with_columns(request=pl.lit(None, pl.Int64))], POSITIONS)
    with pytest.raises(InputError, match="OPE009"):
        stats_of_batches([frame.with_columns(propensity_kind=pl.lit("slate"))], POSITIONS)
