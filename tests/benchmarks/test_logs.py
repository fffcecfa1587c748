"""A generated log holds what the generator says, and ingestion finds exactly that."""

import hashlib
import json

import polars as pl
import pytest

from benchmarks.ingest import mapping_of
from benchmarks.logs import BEHAVIOURS, COLUMNS, DAY, DIRT, START, Shape, main, write_log
from tasks.manifest import read_manifest
from tasks.sources import fetch
from tasks.warehouse import ingest

SMALL = Shape(rows=30_000, days=2, users=2_000, items=500, duplicates=0.02, dirty=0.02)
CLEAN = Shape(rows=30_000, days=2, users=2_000, items=500, duplicates=0, dirty=0)
REASONS = {
    "missing field": "4 fields instead of 5",
    "extra field": "6 fields instead of 5",
    "empty user": "empty",
    "unknown event": "not among the listed behaviours",
    "time is text": "not a number",
    "milliseconds": 'these look like milliseconds: let unit be "ms"',
    "value is NaN": "not a finite number",
}


def read(file) -> pl.DataFrame:
    return pl.read_csv(file)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A log without dirt, as a table."""
    file = tmp_path_factory.mktemp("clean") / "log.csv"
    write_log(CLEAN, file)
    return read(file)


def test_ingestion_finds_what_was_planted(tmp_path):
    truth = write_log(SMALL, tmp_path / "log.csv")
    assert truth.rows == truth.accepted + truth.rejected + truth.blank == SMALL.rows
    ingest(fetch(str(mapping_of(tmp_path / "log.csv", tmp_path, max_reject_share=1.0)), None), tmp_path / "warehouse")
    manifest = read_manifest(tmp_path / "warehouse")
    assert manifest is not None
    (found,) = manifest.inputs
    assert (found.counts.accepted, found.counts.quarantined) == (truth.accepted, truth.rejected)
    assert (found.counts.blank, found.counts.lines) == (truth.blank, truth.rows + 1)
    rejected = {reason.reason: reason.rejected for reason in found.reasons}
    assert rejected == {REASONS[name]: truth.kinds[name] for name in REASONS}
    events = pl.concat([pl.read_parquet(tmp_path / "warehouse" / file.path) for file in manifest.of("events")])
    assert events["repeat"].sum() == truth.duplicates


def test_every_kind_is_as_frequent_as_the_others(tmp_path):
    truth = write_log(SMALL, tmp_path / "log.csv")
    expected = SMALL.rows * SMALL.dirty / len(DIRT)
    assert all(abs(count - expected) < 5 * expected**0.5 for count in truth.kinds.values())
    assert abs(truth.duplicates - SMALL.rows * SMALL.duplicates) < 5 * (SMALL.rows * SMALL.duplicates) ** 0.5


def test_the_seed_decides(tmp_path):
    def digest(seed: int) -> str:
        write_log(Shape(rows=200_000, seed=seed), tmp_path / "log.csv")
        return hashlib.sha256((tmp_path / "log.csv").read_bytes()).hexdigest()

    assert digest(1) == digest(1) != digest(2)


def test_a_clean_log_is_clean(clean):
    assert tuple(clean.columns) == COLUMNS
    assert len(clean) == CLEAN.rows
    assert not clean.is_duplicated().any()
    assert clean["timestamp"].is_between(START, START + CLEAN.days * DAY + DAY / 100).all()
    shares = dict(clean["event"].value_counts(normalize=True).iter_rows())
    assert shares == pytest.approx(BEHAVIOURS, abs=0.02)
    assert clean["value"].is_not_null().eq(clean["event"].is_in(["cart", "purchase"])).all()


def test_time_runs_roughly_forward(clean):
    late = clean["timestamp"].cum_max() - clean["timestamp"]
    assert 0 < late.quantile(0.99) < 120


def test_visits_come_in_bursts(clean):
    gaps = clean.sort("timestamp", maintain_order=True).select(pl.col("timestamp").diff().over("user_id")).to_series()
    assert 10 < gaps.quantile(0.5) < 60
    assert gaps.quantile(0.95) > DAY / 24


def test_popularity_is_zipf_and_activity_heavy_tailed(clean):
    items = clean["item_id"].value_counts(sort=True)["count"]
    assert items[0] / items[9] == pytest.approx(6, rel=0.4)  # (10 + 1/2) / (1 + 1/2), in steps of whole ranks
    users = clean["user_id"].value_counts(sort=True)["count"]
    assert users[: len(users) // 10].sum() > 0.4 * CLEAN.rows


def test_the_command_prints_the_truth(tmp_path, capsys):
    main(["--rows", "1_000", "--out", str(tmp_path / "log.csv"), "--dirty", "0.1"])
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == (tmp_path / "log.csv").read_text().count("\n") - 1
    assert sum(told["kinds"].values()) == pytest.approx(100, abs=50)
