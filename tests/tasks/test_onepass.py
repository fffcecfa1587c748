"""The database's sums are those of memory, whatever the order and the files of the log; what is wrong is named."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.ope.statistics import Stats
from rlrec.ope.streaming import stats_of_batches
from rlrec.ope.transforms import Transform
from tasks.database import connect
from tasks.estimates import Answer, Question, estimate_from_parquet, from_rows, from_sums
from tasks.onepass import optional_columns, stats_of_parquet
from tests.ope.test_statistics import ANY
from tests.ope.test_streaming import POSITIONS, log

PREDICTED = ("target_probability", "q_hat", "q_hat_target")


def database_sums(frame: pl.DataFrame, folder: Path, **given) -> Stats:
    frame.write_parquet(folder / "log.parquet")
    with connect(folder) as connection:
        return stats_of_parquet(folder / "log.parquet", "target", optional_columns(folder), connection, **given)


def same(found: Stats, expected: Stats) -> None:
    np.testing.assert_array_equal(found.requests, expected.requests)
    np.testing.assert_allclose(found.cells, expected.cells, rtol=1e-12, atol=1e-13)
    assert found.max_weight == expected.max_weight
    assert found.has_model == expected.has_model
    assert found.predicted == expected.predicted
    assert found.bent.keys() == expected.bent.keys()
    for transform, sums in expected.bent.items():
        np.testing.assert_allclose(found.bent[transform], sums, rtol=1e-12, atol=1e-13, err_msg=str(transform))


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_database_gives_the_sums_of_a_stream(tmp_path, text, shuffled):
    frame = log()
    if text:
        frame = frame.with_columns(pl.format("user-{}", "user").alias("user"))
    stored = frame.sample(fraction=1.0, shuffle=True, seed=1) if shuffled else frame
    transforms = [*ANY, *(Transform(*end) for end in (("os", 0.0), ("sg", 1.0), ("power", 0.0), ("clip", np.inf)))]
    found = database_sums(stored, tmp_path, transforms=transforms)
    same(found, stats_of_batches([frame], POSITIONS, transforms))


@pytest.mark.parametrize("columns", [{"user": pl.col("user") * 2**33 + 5}, {"event": pl.int_range(pl.len())}])
def test_large_user_numbers_and_requests_that_alternate(tmp_path, columns):
    """A number's high bits decide its shard too; events that rise while requests do not are no proof of order."""
    stored = log().sort("position", "request").with_columns(**columns)
    same(database_sums(stored, tmp_path), stats_of_batches([stored.sort("request", "position")], POSITIONS))


def test_threads_do_not_show(tmp_path):
    """Sums are compensated: the order in which threads add rows moves the last digit at most."""
    log().sample(fraction=1.0, shuffle=True, seed=2).write_parquet(tmp_path / "log.parquet", row_group_size=50)
    found = []
    for threads in (1, 2):
        with connect(tmp_path) as connection:
            connection.execute(f"set threads = {threads}")
            found.append(stats_of_parquet(tmp_path / "log.parquet", "target", optional_columns(tmp_path), connection))
    np.testing.assert_allclose(found[0].cells, found[1].cells, rtol=1e-15)
    np.testing.assert_array_equal(found[0].requests, found[1].requests)


def test_single_items_without_predictions_and_with_a_named_policy(tmp_path):
    frame = log().filter(pl.col("position") == 1).drop("q_hat", "q_hat_target")
    named = frame.with_columns(target_policy=pl.lit("target"), propensity_source=pl.lit("estimated"))
    found = database_sums(pl.concat([named, named.with_columns(target_policy=pl.lit("another"))]), tmp_path)
    same(found, stats_of_batches([frame], [1]))
    assert found.estimated_rows == 300


def test_a_folder_of_days_is_the_sum_of_its_days(tmp_path):
    frame = log()
    days = [frame.filter(pl.col("request") % 3 == day) for day in range(3)]
    for number, day in enumerate(days):
        (tmp_path / "days" / f"day={number}").mkdir(parents=True)
        day.write_parquet(tmp_path / "days" / f"day={number}" / "rows.parquet")
    optional = optional_columns(tmp_path)
    with connect(tmp_path) as connection:
        whole = stats_of_parquet(tmp_path / "days", "target", optional, connection)
        each = [
            stats_of_parquet(tmp_path / "days" / f"day={number}", "target", optional, connection, positions=POSITIONS)
            for number in range(3)
        ]
    same(each[0] + each[1] + each[2], whole)
    same(whole, stats_of_batches([frame], POSITIONS))


BAD = {
    "OPE001 event: 900 rows": {"event": pl.lit(None, pl.Int64)},
    "OPE001, OPE021 an event has several rows": {"event": pl.col("event") // 2},
    "OPE002 request": {"request": pl.lit(None, pl.Int64)},
    "OPE002 user": {"user": pl.when(pl.col("event") == 7).then(None).otherwise("user")},
    "OPE002 requests have several users": {"user": pl.col("event")},
    "OPE004 position": {"position": pl.when(pl.col("event") == 7).then(None).otherwise("position")},
    "OPE004 requests repeat a position": {"position": pl.lit(1)},
    "OPE006 reward": {"reward": pl.col("reward") + 100},
    "OPE007 propensity": {"propensity": pl.lit(None, pl.Float64)},
    "OPE007 propensity: 900 rows": {"propensity": pl.lit(1.5)},
    "OPE009": {"propensity_kind": pl.lit("slate")},
    "OPE009 propensities are of whole slates": {"propensity_kind": pl.lit("cascade")},
    "OPE020 target_probability": {"target_probability": pl.lit(None, pl.Float64)},
    "OPE022 target_probability": {"target_probability": pl.lit(float("nan"))},
    "OPE022 target_probability: 900 rows": {"target_probability": pl.lit(1.5)},
    "OPE024": {"q_hat": pl.when(pl.col("event") == 7).then(None).otherwise("q_hat")},
}


@pytest.mark.parametrize("says", BAD)
def test_every_code_has_rows_that_raise_it(tmp_path, says):
    frame = log().with_columns(event=pl.int_range(pl.len())).with_columns(**BAD[says])
    with pytest.raises(InputError) as caught:
        database_sums(frame, tmp_path, reward_range=(-10.0, 10.0))
    assert says.removesuffix(": 900 rows") in str(caught.value)
    assert caught.value.rows
    assert caught.value.column
    assert caught.value.remedy
    assert caught.value.file


@pytest.fixture
def two_files(tmp_path) -> tuple[Path, Path]:
    frame = log()
    frame.drop(PREDICTED).write_parquet(tmp_path / "logs.parquet")
    targets = frame.select("event", *PREDICTED)
    pl.concat(
        [
            targets.with_columns(target_policy=pl.lit("new")),
            targets.with_columns(target_policy=pl.lit("half"), target_probability=pl.col("target_probability") / 2),
        ]
    ).sample(fraction=1.0, shuffle=True, seed=0).write_parquet(tmp_path / "targets.parquet")
    return tmp_path / "logs.parquet", tmp_path / "targets.parquet"


def both(logs: Path, targets: Path | None, **given) -> list[list[Answer]]:
    """The answers of one pass and of memory, without the files and the page that are made of them."""
    question = Question(**given)
    return [list(answers(logs, targets, question, {})) for answers in (from_sums, from_rows)]


def test_what_is_asked_by_name_is_answered_as_in_memory(two_files, tmp_path):
    names = ["dm", "beta_ips", "clipped_ips@3", "dr_clip@3", "switch_dr@3", "dros@9", "sg_ips@0.2", "sg_dr@0.2"]
    asked = {"estimators": names, "families": ["sg"], "half_width": 0.1, "reward_min": -9, "reward_max": 9}
    for one, two in zip(*both(*two_files, per="request", **asked), strict=True):
        assert one.policy == two.policy
        for a, b in zip(one.evaluation.records, two.evaluation.records, strict=True):
            assert (a.estimator, a.method) == (b.estimator, b.method)
            tolerance = 1e-3 if a.estimator in ("beta_ips", "cressie_read") else 1e-12  # these weigh shards, not users
            assert a.value == pytest.approx(b.value, rel=tolerance), a.estimator
            assert a.standard_error == pytest.approx(b.standard_error, rel=0.15, nan_ok=True), a.estimator
        assert set(one.evaluation.curve["family"]) == {"clip", "sg"}
        assert one.evaluation.curve["bias_bound"].is_not_null().all()
        assert [p.requests for p in one.plans] == pytest.approx([p.requests for p in two.plans], rel=0.3)
    with pytest.raises(InputError, match="sums cannot tell replay"):
        both(*two_files, estimators=["replay"])
    with pytest.raises(InputError, match="no family 'so'"):
        Question(families=["so"])


@pytest.mark.parametrize("per", ["row", "request"])
@pytest.mark.parametrize("apart", [False, True])
def test_parts_of_the_log_are_those_of_memory(two_files, tmp_path, per, apart):
    logs, targets = two_files
    device = pl.when(pl.col("user") % 3 == 0).then(pl.lit("phone")).otherwise(pl.lit("web"))
    pl.read_parquet(logs).with_columns(device=device).write_parquet(logs)
    if not apart:
        log().with_columns(device=device).write_parquet(logs)
    for one, two in zip(*both(logs, targets if apart else None, by="device", per=per), strict=True):
        assert [part.segment for part in one.segments] == [part.segment for part in two.segments] == ["web", "phone"]
        for a, b in zip(one.segments, two.segments, strict=True):
            assert (a.estimator, a.n, a.level) == (b.estimator, b.n, b.level)
            assert (a.value, a.logging_value, a.ess) == pytest.approx((b.value, b.logging_value, b.ess), rel=1e-12)
            assert a.high - a.low == pytest.approx(b.high - b.low, rel=0.15)


def test_parts_that_are_none_are_refused(tmp_path):
    cases = {
        "no such column": ("gone", pl.lit("a"), "row"),
        "rows without a segment": ("device", pl.when(pl.col("event") == 7).then(None).otherwise(pl.lit("a")), "row"),
        "more than 1,000 segments": ("device", pl.col("event") + 5_000, "row"),
        "requests belong to several segments": ("device", pl.col("position"), "request"),
    }
    for says, (by, device, per) in cases.items():
        many = pl.concat([log(), log().with_columns(pl.col("event", "request") + 900)])
        many.with_columns(device=device).write_parquet(tmp_path / "log.parquet")
        with pytest.raises(InputError, match=says) as caught:
            list(from_sums(tmp_path / "log.parquet", None, Question(by=by, per=per), {}))
        assert caught.value.remedy


def test_one_pass_and_memory_write_the_same_estimates(two_files, tmp_path):
    one = estimate_from_parquet(*two_files, tmp_path / "one", one_pass=True, reference="half")
    two = estimate_from_parquet(*two_files, tmp_path / "two", one_pass=False, reference="half")
    assert [(r["target_policy"], r["estimator"], r["method"]) for r in one] == [
        (r["target_policy"], r["estimator"], r["method"]) for r in two
    ]
    for a, b in zip(one, two, strict=True):
        assert a["value"] == pytest.approx(b["value"], rel=1e-12)
        assert a["standard_error"] == pytest.approx(b["standard_error"], rel=0.15)
    gaps = [pl.read_parquet(tmp_path / out / "comparison.parquet") for out in ("one", "two")]
    np.testing.assert_allclose(gaps[0]["value"], gaps[1]["value"], rtol=1e-9)
    np.testing.assert_allclose(gaps[0]["standard_error"], gaps[1]["standard_error"], rtol=0.2, atol=1e-12)
    first, second = (json.loads((tmp_path / out / "diagnostics.json").read_text()) for out in ("one", "two"))
    for name in ("mean_weight", "k_hat", "max_weight", "second_moment"):
        assert first["new"]["diagnostics"][name] == pytest.approx(second["new"]["diagnostics"][name]), name
    assert (
        pl.read_parquet(tmp_path / "one" / "curve.parquet").columns
        == pl.read_parquet(tmp_path / "two" / "curve.parquet").columns
    )


def test_one_file_may_hold_both(tmp_path):
    log().write_parquet(tmp_path / "log.parquet")
    answers = [
        estimate_from_parquet(tmp_path / "log.parquet", None, tmp_path / "out", one_pass=how) for how in (True, False)
    ]
    assert {r["target_policy"] for r in answers[0]} == {r["target_policy"] for r in answers[1]} == {"target"}
    assert [r["value"] for r in answers[0]] == pytest.approx([r["value"] for r in answers[1]], rel=1e-12)


def test_a_missing_row_a_missing_column_and_what_one_pass_cannot_do(two_files, tmp_path):
    logs, targets = two_files
    with pytest.raises(InputError, match="take the log into memory"):
        estimate_from_parquet(logs, targets, tmp_path / "out", one_pass=True, methods=["betting"])
    pl.read_parquet(targets).filter(pl.col("event") != 5).write_parquet(targets)
    with pytest.raises(InputError, match="OPE020 target_probability: 1 rows, first events 5"):
        estimate_from_parquet(logs, targets, tmp_path / "out", one_pass=True)
    pl.read_parquet(logs).with_columns(reward=pl.lit("one")).write_parquet(tmp_path / "text.parquet")
    with pytest.raises(InputError, match="holds no numbers"):
        estimate_from_parquet(tmp_path / "text.parquet", targets, tmp_path / "out", one_pass=True)
    pl.read_parquet(logs).drop("propensity").write_parquet(logs)
    with pytest.raises(InputError, match=r"columns are missing.*propensity"):
        estimate_from_parquet(logs, targets, tmp_path / "out", one_pass=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "users",
    [
        pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 2, 19), "1d", eager=True),
        pl.Series([2**63 + user for user in range(50)], dtype=pl.UInt64),
        pl.Series([user / 50 for user in range(50)]),
    ],
    ids=["dates", "large numbers", "fractions"],
)
def test_whatever_names_a_user_all_producers_agree(tmp_path, users):
    frame = log().with_columns(users.gather(log()["user"]).alias("user"))
    found = database_sums(frame, tmp_path)
    same(found, stats_of_batches([frame], POSITIONS))
    assert 40 < found.present.sum() <= 50


def test_predictions_that_are_no_numbers_are_refused(tmp_path):
    frame = log().with_columns(pl.lit(float("nan")).alias(name) for name in ("q_hat", "q_hat_target"))
    with pytest.raises(InputError, match="OPE024"):
        database_sums(frame, tmp_path)


def test_one_pass_asks_for_the_range_that_cressie_read_needs(tmp_path):
    log().write_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match="declared reward range"):
        estimate_from_parquet(tmp_path / "log.parquet", None, tmp_path / "out", methods=["cressie_read"], one_pass=True)
