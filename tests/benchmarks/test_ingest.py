"""The ingestion's benchmark compares equals: what does less is refused, and memory is that of the step alone."""

import json
from dataclasses import asdict
from pkgutil import resolve_name

import duckdb
import pytest

from benchmarks import peers
from benchmarks.ingest import CLOCKED, PARTS, base, python, summed, table, verify
from benchmarks.logs import Shape, write_log
from benchmarks.pipeline import MEGABYTE

TRUTH = {"accepted": 90, "rejected": 9, "duplicates": 5}
FOUND = {"accepted": 90, "rejected": 9, "repeats": 6}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A small dirty log and what is in it."""
    file = tmp_path_factory.mktemp("log") / "log.csv"
    return file, write_log(Shape(rows=20_000, days=2, duplicates=0.02, dirty=0.009), file)


@pytest.mark.parametrize("peer", [peers.polars, peers.pandas])
def test_a_peer_finds_what_was_planted_and_sorts_it(peer, log, tmp_path):
    file, truth = log
    counts = asdict(peer(file, tmp_path))
    verify("peer", counts, asdict(truth), counts)
    rows = duckdb.execute(
        f"""select
            count(*), count(*) filter (before is not null and (user, "at") < (before, earlier)),
            min(user), max(user), max(item)
        from (
            select *, lag(user) over place as before, lag("at") over place as earlier
            from read_parquet('{tmp_path}/events/**/*.parquet', filename = true, file_row_number = true)
            window place as (partition by filename order by file_row_number)
        )"""
    ).fetchone()
    users, items = (len(duckdb.execute(f"from '{tmp_path}/{kind}s.parquet'").fetchall()) for kind in ("user", "item"))
    assert rows == (truth.accepted, 0, 1, users, items)


def test_the_base_tells_what_its_parts_cost(log, tmp_path, monkeypatch):
    for place, names in CLOCKED.items():
        for name in names:
            monkeypatch.setattr(resolve_name(place), name, getattr(resolve_name(place), name))  # what `base` wraps
    base(log[0], tmp_path, "1GB")
    parts = json.loads((tmp_path / PARTS).read_text())
    assert set(parts) == {name for names in CLOCKED.values() for name in names}
    assert all(seconds > 0 for seconds in parts.values())


def test_who_finds_the_same_passes():
    verify("step", FOUND, TRUTH, FOUND)


@pytest.mark.parametrize("change", [{"accepted": 91}, {"rejected": 8}, {"repeats": 7}])
def test_who_finds_something_else_is_refused(change):
    with pytest.raises(SystemExit, match="step found"):
        verify("step", FOUND | change, TRUTH, FOUND)


def test_repeats_that_were_planted_cannot_be_missed_by_all():
    few = FOUND | {"repeats": 4}
    with pytest.raises(SystemExit, match="step found"):
        verify("step", few, TRUTH, few)


def test_memory_is_that_of_the_step(tmp_path):
    grabbed = 100  # megabytes
    (tmp_path / "grabbing.py").write_text(f"block = bytes([1]) * ({grabbed} << 20)\nimport time\ntime.sleep(0.5)\n")
    run = python(["grabbing"], {"PYTHONPATH": str(tmp_path)})
    assert grabbed < run.held_bytes / MEGABYTE < 4 * grabbed
    assert run.peak_bytes >= run.held_bytes  # here it starts at what pytest holds
    assert run.seconds > 0.5


def test_a_step_that_fails_ends_the_benchmark_with_its_output(tmp_path):
    (tmp_path / "failing.py").write_text("raise SystemExit('what went wrong')\n")
    with pytest.raises(SystemExit, match="what went wrong"):
        python(["failing"], {"PYTHONPATH": str(tmp_path)})


def test_shares_are_of_the_limit():
    run = python(["this"])
    row = summed([run, run, run], 1_000, run.seconds / 2)
    assert row["share_of_limit"] == pytest.approx(1 / 2)
    assert row["rows_per_second"] == pytest.approx(1_000 / run.seconds)
    assert "50%" in table({"step": row})
