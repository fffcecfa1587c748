"""Passes: what was counted before each row does not depend on where batches end; a file is read in its columns."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from rlrec.passes import Numbers, present, stored


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=50), st.integers(1, 50))
def test_what_came_before_is_the_same_in_batches_of_any_size(rows, size):
    ids, weights = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    numbers, totals = Numbers(), Numbers()
    found = [numbers.before(ids[i : i + size], weights[i : i + size]) for i in range(0, len(rows), size)]
    expected = [sum(other for one, other in rows[:place] if one == own) for place, (own, _) in enumerate(rows)]
    assert np.concatenate(found).tolist() == expected
    totals.add(ids, weights)
    assert np.array_equal(totals.of[: ids.max() + 1], numbers.of[: ids.max() + 1])
    assert totals.of.sum() == weights.sum()


def test_ids_that_come_late_find_a_place_with_the_start():
    numbers = Numbers(np.int64, start=-5)
    for largest in (3, 1, 1000):
        numbers.reach(np.array([largest]))
    assert len(numbers.of) > 1000
    assert set(numbers.of) == {-5}


def test_a_file_is_passed_over_as_often_as_asked_in_the_columns_asked_for(tmp_path):
    frame = pl.DataFrame({"event": [1, 2, 3], "user": [1, 1, 4], "item": [2, 3, 2]})
    frame.write_parquet(tmp_path / "events.parquet")
    events = stored(tmp_path / "events.parquet")
    assert pl.concat(events()).equals(frame)
    assert pl.concat(events("user", "event", "user")).equals(frame.select("user", "event"))
    assert np.flatnonzero(present(events, "user")).tolist() == [1, 4]
