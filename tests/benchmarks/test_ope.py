"""One log of the benchmark is the same in one file and in two, and its parts name the target's own value."""

import polars as pl
import pytest

from benchmarks.ope import estimates, fresh, log, write_log
from rlrec.ope.estimators import dm

ROWS = 500


def test_a_log_is_the_same_in_one_file_and_in_two(tmp_path):
    one, logs, targets = (tmp_path / f"{name}.parquet" for name in ("one", "logs", "targets"))
    write_log(ROWS, one)
    write_log(ROWS, logs, targets)
    both = pl.read_parquet(logs).join(pl.read_parquet(targets), on="event", validate="1:1").sort("event")
    assert both.equals(pl.read_parquet(one).select(both.columns))


def test_the_tables_are_those_of_the_log():
    rounds, action, (target, model) = log(ROWS, users=50)
    assert rounds.target_probability[:, 0] == pytest.approx(target[action])
    assert dm(rounds).value == pytest.approx(target @ model)
    assert [one.value for one in estimates(fresh(rounds))] == [one.value for one in estimates(rounds)]
