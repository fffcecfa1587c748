"""A dry run tells what staging would do, from the start of each file, and which days are missing."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.sources.mapping import load_mapping
from tasks.sources.preview import missing_days, preview
from tests.own import stage_own, write_own

TOML = """behaviour = "view"
[source.columns]
user = "u"
item = "i"
time = "t"
[source.time]
format = "iso"
"""
DAY = "u,i,t\na,x,{0}\nb,y,{0}T10:00Z\n"


def test_it_tells_what_staging_would_do(tmp_path):
    content = DAY.format("2024-01-01") + ",z,2024-01-01\n" + DAY.format("2024-01-03")[6:] + '"c\nd",z,noon\n'
    mapping = write_own(tmp_path, content, TOML)
    seen = preview(load_mapping(mapping), rows=2)
    (file,) = seen.files
    staged = stage_own(mapping)
    assert (file.counts, file.complete) == (staged.counts, True)
    assert [row["user_external"] for row in file.rows] == ["a", "b"]
    assert [(column.role, column.name, column.type) for column in file.columns] == [
        ("user", "u", "text"), ("item", "i", "text"), ("time", "t", "text")]  # fmt: skip
    assert [(reject.line, reject.column, reject.reason) for reject in file.rejects] == staged.rejects
    assert file.rejects[1].raw == '"c\nd",z,noon'
    assert seen.warnings == (
        "log.csv: 33.3% would be rejected, more than 1%: it would be refused",
        "there is no event on 2024-01-02",
    )


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_it_reads_only_the_start(tmp_path, ending, monkeypatch):
    monkeypatch.setattr("tasks.sources.preview.BLOCK_BYTES", 1_000)
    content = "u,i,t\n" + "a,x,2024-01-01\n" * 200_000
    if ending == "parquet":
        import polars as pl

        pl.read_csv(content.encode()).write_parquet(tmp_path / "log.parquet", row_group_size=1_000)
        content = (tmp_path / "log.parquet").read_bytes()
    (file,) = preview(load_mapping(write_own(tmp_path, content, TOML, f"log.{ending}")), records=500).files
    assert not file.complete
    assert 500 <= file.counts.read < 200_000


def test_a_day_without_a_file_is_told(tmp_path):
    for day in ("20240228", "20240301", "20240231"):
        (tmp_path / f"log-{day}.csv").write_text(DAY.format("2024-02-28"))
    mapping = tmp_path / "own.toml"
    mapping.write_text(f'[[source]]\nfiles = "log-*.csv"\n{TOML}')
    assert preview(load_mapping(mapping)).warnings == ("log-*.csv: there is no file of 2024-02-29",)


@given(st.sets(st.dates(date(2024, 1, 1), date(2024, 12, 31)), min_size=1))
def test_missing_days_complete_the_span(days):
    missing = missing_days(days)
    assert not days & set(missing)
    assert len(missing) + len(days) == (max(days) - min(days)).days + 1
    assert missing == sorted(missing)
