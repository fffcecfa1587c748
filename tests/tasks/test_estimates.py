import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import TUNED
from rlrec.ope.selection import RULES
from tasks.estimates import estimate_from_parquet

LOGGING, MEAN = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.5, 0.7])
COLUMNS = ("estimator", "parameter", "value", "se", "low", "high", "interval", "validity", "n", "ess", "mean_weight")
POLICIES = {"better": np.array([0.3, 0.3, 0.4]), "same": LOGGING}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two thousand single-item requests of 400 users, two target policies with predictions."""
    g = np.random.default_rng(0)
    count = 2_000
    action = g.choice(3, size=count, p=LOGGING)
    events = np.arange(1, count + 1)
    pl.DataFrame(
        {
            "event": events,
            "request": events,
            "user": g.integers(1, 401, count),
            "position": np.ones(count, dtype=np.int16),
            "reward": (g.random(count) < MEAN[action]).astype(float),
            "propensity": LOGGING[action],
        }
    ).write_parquet(tmp_path / "logs.parquet")
    pl.concat(
        pl.DataFrame(
            {
                "event": events,
                "target_policy": [name] * count,
                "target_probability": policy[action],
                "q_hat": MEAN[action],
                "q_hat_target": np.full(count, policy @ MEAN),
            }
        )
        for name, policy in POLICIES.items()
    ).write_parquet(tmp_path / "targets.parquet")
    return tmp_path / "logs.parquet", tmp_path / "targets.parquet"


def decided(out: Path) -> dict[str, dict[str, object]]:
    return json.loads((out / "decision.json").read_text())


def test_the_gate_lets_through_who_beats_what_served_or_the_reference(files, tmp_path):
    estimate_from_parquet(*files, tmp_path / "served")
    found = decided(tmp_path / "served")
    assert {name: one["passes"] for name, one in found.items()} == {"better": True, "same": False}
    assert found["same"]["reference"] == "logging"
    assert "lower end" in found["same"]["reasons"][0]

    estimate_from_parquet(*files, tmp_path / "named", reference="same", notes={"better": ["said by the caller"]})
    found = decided(tmp_path / "named")
    assert list(found) == ["better"]
    rows = pl.read_parquet(tmp_path / "named" / "comparison.parquet")
    (gap,) = rows.filter(pl.col("reference") == "same").to_dicts()
    assert (found["better"]["low"], found["better"]["passes"]) == (gap["low"], True)
    values = dict(rows.filter(pl.col("reference").is_null()).select("target_policy", "value").rows())
    assert gap["value"] == pytest.approx(values["better"] - values["same"])
    told = json.loads((tmp_path / "named" / "diagnostics.json").read_text())
    assert told["better"]["notes"][-1] == "said by the caller"
    assert told["same"]["notes"] == told["better"]["notes"][:-1]
    assert "Gate: better passes against same" in (tmp_path / "named" / "report.html").read_text()

    estimate_from_parquet(*files, tmp_path / "margin", reference="same", margin=gap["low"])
    assert not decided(tmp_path / "margin")["better"]["passes"]


def test_the_reference_must_support_the_difference_too(files, tmp_path):
    logs, targets = files
    far = pl.col("target_probability").is_first_distinct().cast(pl.Float64)  # weight on three rows alone
    rows = pl.read_parquet(targets)
    same = pl.col("target_policy") == "same"
    rows.with_columns(
        target_probability=pl.when(same).then(far.over("target_policy")).otherwise("target_probability")
    ).write_parquet(targets)
    estimate_from_parquet(logs, targets, tmp_path / "out", reference="same")
    assert decided(tmp_path / "out")["better"]["verdict"] == "no_support"
    assert not decided(tmp_path / "out")["better"]["passes"]


def test_a_reference_that_cannot_be_compared_with_is_refused(files, tmp_path):
    with pytest.raises(InputError, match=r"(?s)'other' is no target policy.*logging, better, same"):
        estimate_from_parquet(*files, tmp_path / "out", reference="other")
    logs, targets = files
    alone = write(pl.read_parquet(targets).filter(pl.col("target_policy") == "same"), tmp_path / "alone.parquet")
    with pytest.raises(InputError, match="the only target policy"):
        estimate_from_parquet(logs, alone, tmp_path / "out", reference="same")
    both = pl.read_parquet(logs).join(pl.read_parquet(targets), on="event")
    apart = both.filter((pl.col("event") % 2 == 0) == (pl.col("target_policy") == "same"))
    apart.write_parquet(logs)
    with pytest.raises(InputError, match="logged apart"):
        estimate_from_parquet(logs, None, tmp_path / "out", reference="same")


def test_three_files_and_truthful_intervals(files, tmp_path, drawn):
    out = tmp_path / "out"
    truth = {name: float(policy @ MEAN) for name, policy in POLICIES.items()}
    records = estimate_from_parquet(*files, out, reward_min=0.0, reward_max=1.0, truth=truth)
    assert {r["target_policy"] for r in records} == set(POLICIES)
    for record in records:
        assert record["low"] <= truth[record["target_policy"]] <= record["high"]
    assert sorted(p.name for p in out.iterdir()) == [
        "comparison.parquet",
        "curve.parquet",
        "curve.png",
        "decision.json",
        "diagnostics.json",
        "estimates.json",
        "report.html",
    ]
    rows = pl.read_parquet(out / "comparison.parquet").rows_by_key(
        ["reference", "target_policy"], named=True, unique=True
    )
    assert rows["logging", "same"]["value"] == pytest.approx(0, abs=1e-3)  # SNDR smooths where the mean does not
    better = rows["logging", "better"]
    assert 0 < better["low"] < truth["better"] - truth["same"] < better["high"]
    stored = json.loads((out / "estimates.json").read_text())
    assert (stored["per"], stored["skipped"]) == ("row", [])
    assert stored["estimand"] == "expected reward of a log row"
    assert [(r["target_policy"], r["estimator"]) for r in stored["estimates"]] == list(
        dict.fromkeys((r["target_policy"], r["estimator"]) for r in records)
    )
    first = stored["estimates"][0]
    assert {*COLUMNS, "max_weight"} <= set(first)
    intervals = [first, *first["further"]]
    assert [(one["interval"], one["se"], one["low"], one["high"]) for one in intervals] == [
        tuple(r[name] for name in ("method", "standard_error", "low", "high"))
        for r in records
        if (r["target_policy"], r["estimator"]) == (first["target_policy"], first["estimator"])
    ]
    assert first["max_weight"] == pytest.approx(max(POLICIES[first["target_policy"]] / LOGGING))
    curve = pl.read_parquet(out / "curve.parquet")
    assert curve.columns[:4] == ["target_policy", "base", "family", "lambda"]
    assert curve["family"].n_unique() == 5
    assert curve["bias_bound"].null_count() == curve["value"].null_count() == 0 or curve["bias_bound"].null_count() == 0
    verdict = json.loads((out / "diagnostics.json").read_text())
    assert set(verdict) == set(POLICIES)
    choices = verdict["better"]["selections"]
    assert {one["rule"] for one in choices} == set(RULES)
    assert all(one["same_rows"] and 0 <= one["frequency"] <= 1 for one in choices)
    assert verdict["same"]["verdict"] in ("trust", "caution")
    same = next(r for r in records if r["target_policy"] == "same" and r["estimator"] == "ips")
    assert same["value"] == pytest.approx(verdict["same"]["logging_value"])


def test_several_loggers_and_further_intervals(files, tmp_path):
    """Half of the log is said to come from a logger that plays the target: the mixture lies between the two."""
    logs, targets = files
    log, wanted = pl.read_parquet(logs), pl.read_parquet(targets).filter(pl.col("target_policy") == "better")
    name = pl.when(pl.col("event") <= 1_000).then(pl.lit("old")).otherwise(pl.lit("new"))
    log.with_columns(logging_policy=name).drop("propensity").write_parquet(logs)
    pl.concat(
        [
            log.select("event", logging_policy=pl.lit("old"), logging_probability="propensity"),
            wanted.select("event", logging_policy=pl.lit("new"), logging_probability="target_probability"),
        ]
    ).write_parquet(tmp_path / "loggers.parquet")
    records = estimate_from_parquet(
        *files, tmp_path / "out", reward_min=0.0, reward_max=1.0, max_weight=2.0,
        loggers=tmp_path / "loggers.parquet", methods=["truncated", "betting", "hoeffding"],
    )  # fmt: skip
    rows = {(r["estimator"], r["method"]): r for r in records if r["target_policy"] == "better"}
    assert rows["ips", "hoeffding"]["validity"] == rows["ips", "truncated"]["validity"] == "finite"
    assert rows["ips", "betting"]["validity"] == "anytime"
    joined = log.join(wanted, on="event", maintain_order="left")
    weight = joined["target_probability"] / ((joined["propensity"] + joined["target_probability"]) / 2)
    assert rows["ips", "student"]["value"] == pytest.approx((weight * joined["reward"]).mean())


def test_parts_of_the_log_and_a_plan_of_the_next(files, tmp_path):
    logs, targets = files
    device = pl.when(pl.col("request") % 3 == 0).then(pl.lit("phone")).otherwise(pl.lit("web"))
    pl.read_parquet(logs).with_columns(device=device).sample(fraction=1.0, shuffle=True, seed=0).write_parquet(logs)
    estimate_from_parquet(logs, targets, tmp_path / "out", by="device", half_width=0.01)
    parts = pl.read_parquet(tmp_path / "out" / "segments.parquet").filter(pl.col("target_policy") == "better")
    assert parts["segment"].to_list() == ["web", "phone"]
    log = pl.read_parquet(logs).filter(pl.col("device") == "phone")
    assert parts["n"].to_list() == [2_000 - len(log), len(log)]
    assert parts["logging_value"][1] == pytest.approx(log["reward"].mean())
    planned = json.loads((tmp_path / "out" / "diagnostics.json").read_text())["better"]["plan"]
    assert planned[0]["exploration"] == 0
    assert planned[0]["requests"] > planned[-1]["requests"] > 0
    for wrong, says in (("shape", "no such column"), ("event", "segments")):
        with pytest.raises(InputError, match=says):
            estimate_from_parquet(logs, targets, tmp_path / "other", by=wrong)


def test_rows_dropped_at_random_are_weighed_by_what_they_stand_for(files, tmp_path):
    """A quarter of the rows without reward is enough; read as if it were whole, the log would have earned far more."""
    logs, targets = files
    pl.read_parquet(targets).filter(pl.col("target_policy") == "better").write_parquet(targets)
    log = pl.read_parquet(logs)
    keep = pl.when(pl.col("reward") > 0).then(1.0).otherwise(0.25)
    drawn = pl.Series(np.random.default_rng(1).random(len(log)))
    left = log.with_columns(keep_probability=keep).filter(drawn < pl.col("keep_probability"))
    left.write_parquet(logs)
    for record in estimate_from_parquet(logs, targets, tmp_path / "out", reward_min=0.0, reward_max=1.0):
        assert record["n"] == len(left) < 0.7 * len(log)
        assert record["low"] <= POLICIES["better"] @ MEAN <= record["high"]
        assert record["mean_weight"] == pytest.approx(1, abs=0.05)
    told = json.loads((tmp_path / "out" / "diagnostics.json").read_text())["better"]
    assert told["logging_value"] == pytest.approx(log["reward"].mean(), abs=0.03)
    assert left["reward"].mean() > told["logging_value"] + 0.2
    assert any(note.startswith(f"OPE015 {len(left):,} sampled rows") for note in told["notes"])


def test_the_same_seed_writes_the_same_bytes(files, tmp_path, drawn):
    for name in ("one", "two"):
        estimate_from_parquet(*files, tmp_path / name)
    for file in ("estimates.json", "curve.parquet", "comparison.parquet", "diagnostics.json", "report.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_without_predictions_dr_is_skipped_and_said_so(files, tmp_path):
    logs, targets = files
    pl.read_parquet(targets).drop("q_hat").write_parquet(targets)
    records = estimate_from_parquet(logs, targets, tmp_path / "out")
    notes = {r["estimator"]: r["note"] for r in records}
    assert notes["ips"] is None
    assert "skipped" in notes["dr"]
    assert "skipped" in notes["sndr"]
    stored = json.loads((tmp_path / "out" / "estimates.json").read_text())
    assert {(one["estimator"], one["reason"]) for one in stored["skipped"]} == {
        (name, notes[name]) for name in ("dr", "sndr")
    }
    assert {one["estimator"] for one in stored["estimates"]} == {"ips", "snips"}


def altered(path: Path, **columns: pl.Expr) -> None:
    pl.read_parquet(path).with_columns(**columns).write_parquet(path)


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda logs, _: logs.unlink(), "no such file"),
        (lambda _, targets: targets.write_text("event,target_probability\n1,0.5\n"), "cannot be read as Parquet"),
        (lambda logs, _: logs.write_bytes(logs.read_bytes()[:500]), "cannot be read as Parquet"),
        (lambda logs, _: pl.read_parquet(logs).drop("propensity").write_parquet(logs), "required columns are missing"),
        (lambda _, targets: pl.read_parquet(targets).drop("event").write_parquet(targets), "columns are missing"),
        (lambda _, targets: altered(targets, event=pl.col("event") + 10_000), "no event of the targets"),
        (lambda _, targets: altered(targets, target_probability=pl.lit(1.2)), "OPE022"),
        (lambda logs, _: altered(logs, propensity=pl.lit(None, dtype=pl.Float64)), "OPE007 propensity is empty"),
        (lambda logs, _: altered(logs, reward=pl.col("reward") * 2), "OPE006"),
        (lambda logs, _: pl.read_parquet(logs).clear().write_parquet(logs), "no rows"),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(files, tmp_path, harm, says):
    harm(*files)
    with pytest.raises(InputError, match=says) as caught:
        estimate_from_parquet(*files, tmp_path / "out", reward_min=0.0, reward_max=1.0)
    assert ".parquet" in caught.value.file
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_bad_arguments(files, tmp_path):
    (tmp_path / "file").write_text("")
    for bad, says in (
        ({"out": tmp_path / "file"}, "a folder is needed"),
        ({"level": 95.0}, "between 0 and 1"),
        ({"reward_min": 0.0}, "half a reward range"),
    ):
        with pytest.raises(InputError, match=says):
            estimate_from_parquet(*files, **({"out": tmp_path / "out"} | bad))


def test_neither_torch_nor_prefect_nor_mlflow_is_loaded(files, tmp_path):
    code = (
        "import sys; from pathlib import Path; from tasks.estimates import estimate_from_parquet as e\n"
        f"e(Path({str(files[0])!r}), Path({str(files[1])!r}), Path({str(tmp_path / 'out')!r}))\n"
        "print(sorted({'torch', 'prefect', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_candidates_or_a_number_of_actions_tell_whether_propensities_fit(files, tmp_path):
    logs, targets = files
    log = pl.read_parquet(logs)
    listed = log.with_columns(pl.lit([0, 1, 2]).alias("candidates"))
    halved = listed.with_columns(pl.col("propensity") / 2)
    seen = {}
    for name, table, given in (("listed", listed, {}), ("counted", log, {"actions": 3}), ("halved", halved, {})):
        table.write_parquet(tmp_path / f"{name}.parquet")
        estimate_from_parquet(tmp_path / f"{name}.parquet", targets, tmp_path / name, **given)
        seen[name] = json.loads((tmp_path / name / "diagnostics.json").read_text())["same"]
    assert seen["listed"] == seen["counted"]
    right, wrong = (seen[name]["diagnostics"]["inverse_propensity"] for name in ("listed", "halved"))
    assert wrong == pytest.approx(2 * right)
    assert right == pytest.approx(1, abs=0.1)
    assert not seen["listed"]["notes"]
    assert "1/propensity averages to" in seen["halved"]["notes"][0]
    assert sum(bucket["rows"] for bucket in seen["listed"]["weights"]) == len(log)


def test_blocks_are_of_days_and_days_must_be_named(files, tmp_path):
    logs, targets = files
    with pytest.raises(InputError, match="--cluster day"):
        estimate_from_parquet(logs, targets, tmp_path / "none", methods=["bootstrap_blocks"])
    dated = tmp_path / "dated.parquet"
    pl.read_parquet(logs).with_columns((pl.int_range(pl.len()) // 50).alias("day")).write_parquet(dated)
    given = {"methods": ["bootstrap_blocks", "bootstrap_bca"], "cluster": "day"}
    records = estimate_from_parquet(dated, targets, tmp_path / "out", **given)
    found = {r["method"]: r for r in records if (r["target_policy"], r["estimator"]) == ("better", "snips")}
    assert {"bootstrap_percentile", "bootstrap_blocks", "bootstrap_bca"} <= set(found)
    for record in found.values():
        assert record["n_clusters"] == 40
        assert record["low"] < record["value"] < record["high"]


def test_a_tuned_parameter_comes_from_users_who_left_the_estimate(files, tmp_path):
    given = {"reward_min": 0.0, "reward_max": 1.0, "seed": 1}
    logs = tmp_path / "parted.parquet"
    pl.read_parquet(files[0]).with_columns((pl.col("user") % 2).alias("half")).write_parquet(logs)
    estimate_from_parquet(logs, files[1], tmp_path / "tuned", tune=0.3, by="half", **given)
    told = json.loads((tmp_path / "tuned" / "estimates.json").read_text())["estimates"]
    better = {one["estimator"]: one for one in told if one["target_policy"] == "better"}
    assert set(better) == {"ips", "snips", "dr", "sndr", "cressie_read", *TUNED}
    (rows,) = {one["n"] for one in told}
    assert rows < 1_700
    assert better["dr_clip"]["parameter"] is None or better["dr_clip"]["parameter"] > 0
    seen = json.loads((tmp_path / "tuned" / "diagnostics.json").read_text())["better"]
    assert seen["notes"][-1].startswith("λ chosen on 119 users, who left all else")
    parts = pl.read_parquet(tmp_path / "tuned" / "segments.parquet").filter(pl.col("target_policy") == "better")
    assert parts["n"].sum() == rows
    with pytest.raises(InputError, match="not between 0 and 1"):
        estimate_from_parquet(logs, files[1], tmp_path / "none", tune=1.0)
    with pytest.raises(InputError, match="--tune"):
        estimate_from_parquet(logs, files[1], tmp_path / "none", tune=0.5, one_pass=True)
    bare = write(pl.read_parquet(files[1]).drop("q_hat", "q_hat_target"), tmp_path / "bare.parquet")
    estimate_from_parquet(logs, bare, tmp_path / "bare", tune=0.3, **given)
    told = json.loads((tmp_path / "bare" / "estimates.json").read_text())
    assert {one["estimator"] for one in told["skipped"]} == {"dr", "sndr"}
    assert {one["estimator"] for one in told["estimates"]} == {"ips", "snips", "cressie_read", "clipped_ips", "sg_ips"}


def test_folds_are_of_users_whatever_the_intervals_go_by(files, tmp_path):
    logs = tmp_path / "folds.parquet"
    pl.read_parquet(files[0]).with_columns(
        fold=pl.col("user") % 3, day=pl.int_range(pl.len()) % 40, item=pl.lit(1), actions=pl.lit("some")
    ).write_parquet(logs)
    records = estimate_from_parquet(logs, files[1], tmp_path / "out", cluster="day", by="actions")
    assert {record["n_clusters"] for record in records} == {40}
    with pytest.raises(InputError, match="OPE014"):
        estimate_from_parquet(
            write(pl.read_parquet(logs).with_columns(fold=pl.int_range(pl.len()) % 3), logs), files[1], tmp_path / "out"
        )


def test_candidates_may_be_arrays_but_not_of_another_type(files, tmp_path):
    log = pl.read_parquet(files[0]).with_columns(item=pl.lit(1))
    fixed = write(
        log.with_columns(pl.Series("candidates", [[0, 1, 2]] * len(log), dtype=pl.Array(pl.Int64, 3))), tmp_path / "a"
    )
    estimate_from_parquet(fixed, files[1], tmp_path / "out")
    seen = json.loads((tmp_path / "out" / "diagnostics.json").read_text())["same"]
    assert seen["diagnostics"]["inverse_propensity"] == pytest.approx(1, abs=0.1)
    named = write(log.with_columns(item=pl.lit("x"), candidates=pl.lit([0, 1, 2])), tmp_path / "b")
    with pytest.raises(InputError, match="OPE012 action and candidates are of different types"):
        estimate_from_parquet(named, files[1], tmp_path / "none")


def write(frame: pl.DataFrame, file: Path) -> Path:
    frame.write_parquet(file)
    return file
