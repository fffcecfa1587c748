"""Every code has a file that triggers it in the function behind `rlrec ope`; sources and docs know the same codes."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.ope.codes import CODES, REMARKS
from tasks.estimates import estimate_from_parquet

ROOT = Path(__file__).resolve().parents[2]
ROWS = 20
EVENTS = list(range(100, 100 + ROWS))
HARMED = EVENTS[3:10]
IS_HARMED = pl.col("event").is_in(HARMED)
Columns = dict[str, pl.Expr]


def where_harmed(value: object, column: str) -> Columns:
    return {column: pl.when(IS_HARMED).then(pl.lit(value)).otherwise(pl.col(column))}


def log() -> pl.DataFrame:
    """Requests of two rows, users of two requests, three actions, with every column that a log may carry."""
    place, g = np.arange(ROWS), np.random.default_rng(0)
    item = g.integers(0, 3, ROWS)
    chance = np.array([0.5, 0.3, 0.2])
    return pl.DataFrame(
        {
            "event": EVENTS,
            "request": place // 2,
            "user": place // 4,
            "position": place % 2 + 1,
            "at": place,
            "item": item,
            "reward": (g.random(ROWS) < 0.5).astype(float),
            "propensity": chance[item],
            "propensity_kind": ["item_position"] * ROWS,
            "candidates": [[0, 1, 2]] * ROWS,
            "candidate_propensities": [chance.tolist()] * ROWS,
            "fold": place // 4 % 2,
            "device": ["phone"] * ROWS,
        }
    )


TARGETS = pl.DataFrame(
    {
        "event": EVENTS,
        "target_probability": [0.3] * ROWS,
        "q_hat": [0.5] * ROWS,
        "q_hat_target": [0.5] * ROWS,
        "serving_digest": ["a1"] * ROWS,
    }
)


@dataclass(frozen=True)
class Case:
    """What is wrong with a log and its targets, which column is blamed, and for which events."""

    column: str
    log: Columns = field(default_factory=dict)
    targets: Columns | pl.DataFrame = field(default_factory=dict)
    given: dict[str, object] = field(default_factory=dict)
    events: list[int] = field(default_factory=lambda: HARMED)


STEPS = {"position": pl.when(IS_HARMED & (pl.col("position") == 2)).then(3).otherwise("position")}
REFUSED = [
    ("OPE001", Case("event", where_harmed(HARMED[0], "event"), events=[HARMED[0]] * len(HARMED))),
    ("OPE002", Case("user", where_harmed(None, "user"))),
    ("OPE002", Case("user", {"user": pl.col("event")}, events=EVENTS)),
    ("OPE004", Case("position", where_harmed(None, "position"))),
    ("OPE005", Case("item", where_harmed(None, "item"))),
    ("OPE005", Case("item", where_harmed(7, "item"), given={"items": "items.parquet"})),
    ("OPE006", Case("reward", where_harmed(float("inf"), "reward"))),
    ("OPE007", Case("propensity", where_harmed(0.0, "propensity"))),
    ("OPE009", Case("propensity_kind", where_harmed("slate", "propensity_kind"))),
    ("OPE011", Case("logging_policy", {"logging_policy": pl.when(IS_HARMED).then(None).otherwise(pl.lit("old"))},
                    given={"loggers": "loggers.parquet"})),
    ("OPE011", Case("logging_policy", {"logging_policy": pl.lit(None, pl.String)},
                    given={"loggers": "loggers.parquet"}, events=EVENTS)),
    ("OPE012", Case("candidates", where_harmed(7, "item"))),
    ("OPE012", Case("candidate_propensities", {"candidates": pl.lit([0, 1, 2, 3])}, events=EVENTS)),
    ("OPE012", Case("candidate_propensities", {"candidate_propensities": pl.lit([0.5, 0.3, 0.1])}, events=EVENTS)),
    ("OPE012", Case("propensity", where_harmed(0.4, "propensity"))),
    ("OPE013", Case("device", where_harmed(None, "device"), given={"by": "device"})),
    ("OPE013", Case("device", where_harmed(None, "device"), given={"cluster": "device"})),
    ("OPE014", Case("fold", {"fold": pl.col("event") % 2}, events=EVENTS)),
    ("OPE015", Case("keep_probability", {"keep_probability": pl.when(IS_HARMED).then(0.0).otherwise(1.0)})),
    ("OPE015", Case("keep_probability", {"keep_probability": pl.when(IS_HARMED).then(1.5).otherwise(1.0)})),
    ("OPE015", Case("sample_weight", {"sample_weight": pl.lit(-2.0)}, events=EVENTS)),
    ("OPE015", Case("sample_weight", {"sample_weight": pl.lit(2.0), "keep_probability": pl.lit(0.25)}, events=EVENTS)),
    ("OPE016", Case("position", STEPS, given={"kind": "trajectory"}, events=[e for e in HARMED if e % 2])),
    ("OPE020", Case("event", targets=TARGETS.filter(~IS_HARMED))),
    ("OPE021", Case("event", targets=pl.concat([TARGETS, TARGETS.filter(IS_HARMED)]),
                    events=HARMED * 2)),
    ("OPE022", Case("target_probability", targets=where_harmed(1.5, "target_probability"))),
    ("OPE023", Case("serving_digest", targets=where_harmed("b2", "serving_digest"))),
    ("OPE023", Case("serving_digest", given={"serving": "c3"}, events=EVENTS)),
    ("OPE023", Case("serving_digest", targets=TARGETS.drop("serving_digest"), given={"serving": "a1"}, events=EVENTS)),
    ("OPE024", Case("q_hat", targets=where_harmed(None, "q_hat"))),
]  # fmt: skip
REMARKED = {
    "OPE003": "at falls from one row to the next: 7 rows, first events 103, 104, 105, 106, 107",
    "OPE008": "propensity is 1 on 100.0% of the rows",
    "OPE010": "propensities are estimated",
    "OPE011": "2 logging policies",
    "OPE015": "20 sampled rows stand for about 80",
    "OPE025": "4 target rows belong to no logged event",
}
ALLOWED: Columns = {
    "at": pl.when(IS_HARMED).then(-pl.col("at")).otherwise("at"),
    "propensity": pl.lit(1.0),
    "candidate_propensities": pl.lit([1.0]),
    "candidates": pl.concat_list("item"),
    "propensity_source": pl.lit("estimated"),
    "logging_policy": (pl.col("request") % 2).cast(pl.String),
    "keep_probability": pl.lit(0.25),
}
STRANGERS = pl.concat([TARGETS, TARGETS.head(4).with_columns(event=pl.col("event") + 1_000)])


LISTED = re.compile(r'^    "OPE\d{3}": |^REMARKS = ')


def written(case: Case, folder: Path) -> tuple[Path, Path]:
    targets = TARGETS.with_columns(**case.targets) if isinstance(case.targets, dict) else case.targets
    log().with_columns(**case.log).write_parquet(folder / "logs.parquet")
    targets.write_parquet(folder / "targets.parquet")
    pl.DataFrame({"action": [0, 1, 2]}).write_parquet(folder / "items.parquet")
    pl.DataFrame({"event": EVENTS, "logging_policy": "old", "logging_probability": 0.5}).write_parquet(
        folder / "loggers.parquet"
    )
    return folder / "logs.parquet", folder / "targets.parquet"


def refusal(case: Case, folder: Path) -> InputError:
    given = {k: folder / str(v) if str(v).endswith(".parquet") else v for k, v in case.given.items()}
    with pytest.raises(InputError) as caught:
        estimate_from_parquet(*written(case, folder), folder / "out", **given)
    assert not (folder / "out").exists()
    return caught.value


@pytest.mark.parametrize(("code", "case"), REFUSED, ids=[f"{code}-{case.column}" for code, case in REFUSED])
def test_a_file_with_this_fault_is_refused_with_its_code_column_count_and_first_events(code, case, tmp_path):
    error = refusal(case, tmp_path)
    (line, *_) = [one for one in str(error).splitlines() if one.startswith(f"  {code} {case.column} ")]
    named = ", ".join(map(str, case.events[:5]))
    assert line.endswith(f": {len(case.events)} rows, first events {named}")
    assert case.column in (error.column or "")
    assert error.remedy
    assert "logs.parquet" in (error.file or "")


def notes(case: Case, folder: Path, **given) -> list[str]:
    estimate_from_parquet(*written(case, folder), folder / "out", **given)
    (told,) = json.loads((folder / "out" / "diagnostics.json").read_text()).values()
    return told["notes"]


def test_what_is_allowed_but_should_be_known_is_told_beside_the_result(tmp_path):
    found = notes(Case("", ALLOWED, STRANGERS), tmp_path)
    said = {code: [note for note in found if note.startswith(f"{code} {says}")] for code, says in REMARKED.items()}
    assert [len(one) for one in said.values()] == [1] * len(REMARKED) == [1] * len(found), found


def test_columns_that_agree_and_times_that_stand_still_are_no_faults(tmp_path):
    both = {"sample_weight": pl.lit(4.0), "keep_probability": pl.lit(0.25), "at": pl.lit(7)}
    assert len(notes(Case("", both), tmp_path)) == 1  # that rows were sampled


def test_a_sound_log_says_nothing(tmp_path):
    assert notes(Case(""), tmp_path, serving="a1", items=tmp_path / "items.parquet") == []


def test_all_faults_of_both_files_are_told_at_once(tmp_path):
    harm = ("user", None), ("position", None), ("item", None), ("reward", None), ("propensity", 2.0), ("device", None)
    columns = {name: expression for column, value in harm for name, expression in where_harmed(value, column).items()}
    spoilt = (
        where_harmed(1.5, "target_probability") | where_harmed("b2", "serving_digest") | where_harmed(None, "q_hat")
    )
    text = str(refusal(Case("", columns | {"sample_weight": pl.lit(0.0)}, spoilt, {"by": "device"}), tmp_path))
    told = {line[2:8] for line in text.splitlines() if line.startswith("  OPE")}
    expected = "OPE002 OPE004 OPE005 OPE006 OPE007 OPE012 OPE013 OPE015 OPE022 OPE023 OPE024"
    assert told == set(expected.split())


@pytest.mark.parametrize("column", ["keep_probability", "sample_weight"])
def test_one_pass_refuses_sampled_rows(column, tmp_path):
    files = written(Case("", {column: pl.lit(0.5)}), tmp_path)
    with pytest.raises(InputError, match="OPE015 one pass") as caught:
        estimate_from_parquet(*files, tmp_path / "out", one_pass=True)
    assert caught.value.column == column


def test_the_sources_the_docs_and_these_files_know_the_same_codes():
    files = [
        file for room in ("rlrec", "tasks", "sql") for end in ("py", "sql") for file in (ROOT / room).rglob(f"*.{end}")
    ]
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    used = {code for line in lines if not LISTED.match(line) for code in re.findall(r"OPE\d{3}", line)}
    assert used == set(CODES)
    assert {code for code, _ in REFUSED} | set(REMARKED) == set(CODES)
    assert set(REMARKED) == REMARKS
    docs = (ROOT / "docs/ope.md").read_text("utf-8")
    assert re.findall(r"^\| (OPE\d{3}) \| ([^|]+) \| [^|]{8,} \|$", docs, re.MULTILINE) == list(CODES.items())
