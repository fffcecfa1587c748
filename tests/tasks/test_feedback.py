"""Both spellings of a log, logs with fewer columns, and the two means, in memory and in one pass."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.tables import FEEDBACK_NAMES, spelled
from tasks.estimates import estimate_from_parquet
from tests.ope.test_streaming import log

THEIRS = {ours: theirs for theirs, ours in FEEDBACK_NAMES.items()}
ON_TARGETS = ("target_probability", "q_hat", "q_hat_target")
HOW = {"in memory": False, "one pass": True}


def values(frame: pl.DataFrame, folder: Path, **given) -> dict[tuple[str, str], dict]:
    """What is estimated of one file that holds both tables."""
    frame.write_parquet(folder / "log.parquet")
    records = estimate_from_parquet(folder / "log.parquet", None, folder / "out", **given)
    return {(one["estimator"], one["method"]): one for one in records}


@pytest.fixture(params=HOW)
def one_pass(request) -> bool:
    return HOW[request.param]


def test_both_spellings_give_the_same_bytes(tmp_path, one_pass):
    frame = log()
    for name, columns in (("ours", {}), ("theirs", {k: v for k, v in THEIRS.items() if k in frame.columns})):
        (folder := tmp_path / name).mkdir()
        written = frame.rename(columns)
        written.drop(columns.get(one, one) for one in ON_TARGETS).write_parquet(folder / "logs.parquet")
        written.select(columns.get(one, one) for one in ("event", *ON_TARGETS)).write_parquet(
            folder / "targets.parquet"
        )
        estimate_from_parquet(folder / "logs.parquet", folder / "targets.parquet", folder / "out", one_pass=one_pass)
    for file in ("curve.parquet", "comparison.parquet", "diagnostics.json"):
        assert (tmp_path / "ours" / "out" / file).read_bytes() == (tmp_path / "theirs" / "out" / file).read_bytes()


def test_a_column_by_two_names_is_refused(tmp_path, one_pass):
    with pytest.raises(InputError, match="two names") as caught:
        values(log().with_columns(user_id="user"), tmp_path, one_pass=one_pass)
    assert caught.value.column == "user, user_id"
    assert spelled(["action", "reward"]) == {"item": "action", "reward": "reward"}


def test_the_mean_per_row_and_the_mean_per_request(tmp_path, one_pass):
    frame = log()
    total = (frame["target_probability"] / frame["propensity"] * frame["reward"]).sum()
    rows, requests = len(frame), frame["request"].n_unique()
    found = {per: values(frame, tmp_path, per=per, one_pass=one_pass) for per in ("row", "request")}
    assert found["row"]["ips", "student"]["value"] == pytest.approx(total / rows)
    assert found["request"]["ips", "student"]["value"] == pytest.approx(total / requests)
    assert [found[per]["ips", "student"]["n"] for per in found] == [rows, requests]
    assert len({found[per]["ips", "student"]["estimand"] for per in found}) == 2
    weight = (frame["target_probability"] / frame["propensity"]).sum()
    assert found["row"]["snips", "delta"]["value"] == pytest.approx(total / weight)
    assert values(frame, tmp_path, one_pass=one_pass) == found["row"]


def test_rows_of_a_request_stay_together_where_there_is_no_user(tmp_path, one_pass):
    """The error of a mean per row is that of independent requests: the same as with the request for a user."""
    frame = log(2_000)
    told = values(frame.with_columns(user="request"), tmp_path, one_pass=one_pass)
    for fewer in (frame.drop("user"), frame.drop("user", "position")):
        found = values(fewer, tmp_path, one_pass=one_pass)["snips", "delta"]
        assert found["standard_error"] == pytest.approx(told["snips", "delta"]["standard_error"])
        assert found["value"] == pytest.approx(told["snips", "delta"]["value"])
    with pytest.raises(InputError, match="no positions"):
        values(frame.drop("user", "position"), tmp_path, per="request", one_pass=one_pass)


def test_four_columns_are_a_log(tmp_path, one_pass):
    frame = log().select("event", "reward", "propensity", "target_probability", action=pl.lit(1))
    one = values(frame.rename({"event": "event_id"}), tmp_path, one_pass=one_pass)["ips", "student"]
    value = frame["target_probability"] / frame["propensity"] * frame["reward"]
    assert one["value"] == pytest.approx(value.mean())
    if not one_pass:
        assert one["standard_error"] == pytest.approx(value.std() / np.sqrt(len(value)))


def test_cluster_names_what_is_independent(tmp_path, one_pass):
    frame = log().with_columns(region=pl.col("user") % 25)
    asked = values(frame, tmp_path, cluster="region", one_pass=one_pass)
    as_user = values(frame.with_columns(user="region"), tmp_path, cluster="user_id", one_pass=one_pass)
    for key, one in asked.items():
        for name in ("value", "standard_error", "n_clusters"):
            assert one[name] == as_user[key][name]
    assert asked["ips", "student"]["n_clusters"] == 25
    with pytest.raises(InputError, match="no such column"):
        values(frame, tmp_path, cluster="regoin", one_pass=one_pass)


def test_checks_of_requests_hold_for_the_mean_per_row_too(tmp_path, one_pass):
    for harm, says in (
        ({"position": pl.lit(1)}, "OPE004"),
        ({"user": pl.col("event")}, "OPE002"),
        ({"propensity_kind": pl.lit("slate")}, "OPE009"),
    ):
        with pytest.raises(InputError, match=says):
            values(log().with_columns(**harm), tmp_path, one_pass=one_pass)


def test_rewards_outside_the_range_name_what_was_seen_and_the_flags(tmp_path, one_pass):
    frame = log().with_columns(reward=pl.int_range(pl.len()) % 5 - 1.0)
    with pytest.raises(InputError, match="OPE006") as caught:
        values(frame, tmp_path, reward_min=0.0, reward_max=1.0, one_pass=one_pass)
    assert "--reward-min -1 or less, --reward-max 3 or more" in caught.value.remedy


def test_parts_are_of_the_column_that_was_named_whatever_intervals_go_by(tmp_path, one_pass):
    frame = log().with_columns(day=pl.col("request") % 40, user=pl.col("user") % 6)
    values(frame, tmp_path, by="user_id", cluster="day", one_pass=one_pass)
    parts = pl.read_parquet(tmp_path / "out" / "segments.parquet")
    assert sorted(parts["segment"]) == [str(user) for user in range(6)]
    values(frame, tmp_path, one_pass=one_pass)
    assert not (tmp_path / "out" / "segments.parquet").exists()  # it was of another question


def test_parts_of_the_log_by_row(tmp_path):
    frame = log().sample(fraction=1.0, shuffle=True, seed=3)
    values(frame, tmp_path, by="position")
    parts = pl.read_parquet(tmp_path / "out" / "segments.parquet")
    for row in parts.iter_rows(named=True):
        own = frame.filter(pl.col("position") == int(row["segment"]))
        assert row["n"] == len(own)
        assert row["logging_value"] == pytest.approx(own["reward"].mean())
