"""A view of slates whose log tells no propensity."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tasks.sources.obtain import own_logs
from tasks.views import ViewSettings
from tasks.warehouse import ingest

OWN = """
[[source]]
files = "log.csv"
reward_at_least = 1
columns = { user = "u", item = "i", request = "r", time = "t", propensity = "p", value = "v" }
time = { unit = "s" }
"""
SEEN = """
[[source]]
files = "seen.csv"
behaviour = "click"
columns = { user = "u", item = "i", time = "t" }
time = { unit = "s" }
"""
START = 1_700_000_000


@pytest.mark.parametrize("asked", [True, False])
def test_own_slates_are_filled_only_if_the_mapping_asks(tmp_path, asked):
    rows = [f"u{n % 7},i{n % 3},r{n},{1700000000 + n},{'0.3' if n % 4 == 0 else ''},1" for n in range(60)]
    (tmp_path / "log.csv").write_text("\n".join(["u,i,r,t,p,v", *rows]) + "\n")
    mapping = tmp_path / "own.toml"
    mapping.write_text(OWN + ('[propensities]\nmodel = "frequency"\n' if asked else ""))
    source = own_logs(mapping)
    folder = Path(ingest(source, tmp_path / "out", view=ViewSettings.of(source)).uri)
    slates = pl.read_parquet(folder / "logged_slates.parquet")
    kinds = dict(slates.group_by("propensity_source").len().iter_rows())
    assert kinds == {"logged": 15, "estimated" if asked else "missing": 45}
    assert set(slates.filter(propensity_source="logged")["propensity"]) == {0.3}
    told = json.loads((folder / "corpus.json").read_text())["propensities"]
    assert told["rows"] == kinds
    assert told.get("model") == ("frequency" if asked else None)


def test_slates_of_the_held_out_time_teach_nothing(tmp_path):
    def filled(folder: Path, late_item: str) -> tuple[dict, pl.DataFrame]:
        folder.mkdir()
        shown = [f"u{n % 7},{f'i{n % 3}' if n < 50 else late_item},r{n},{START + n},,1" for n in range(60)]
        (folder / "log.csv").write_text("\n".join(["u,i,r,t,p,v", *shown]) + "\n")
        seen = [f"u{n % 7},i{n % 3},{START + n}" for n in range(60)]
        (folder / "seen.csv").write_text("\n".join(["u,i,t", *seen]) + "\n")
        mapping = folder / "own.toml"
        mapping.write_text(OWN + SEEN + '[propensities]\nmodel = "frequency"\n[[splits]]\nprotocol = "global_time"\n')
        source = own_logs(mapping)
        corpus = Path(ingest(source, folder / "out", view=ViewSettings.of(source)).uri)
        slates = pl.read_parquet(corpus / "logged_slates.parquet").sort("at")
        return json.loads((corpus / "corpus.json").read_text())["propensities"], slates

    told, one = filled(tmp_path / "one", "i0")
    _, other = filled(tmp_path / "other", "i2")
    until = datetime.fromtimestamp(START + 48, UTC)
    assert told["fitted_until"] == until.isoformat()
    before = [slates.head(50)["propensity"].to_list() for slates in (one, other)]
    assert before[0] == before[1]
    assert one.head(50)["item"].equals(other.head(50)["item"])
    assert not one["item"].equals(other["item"])
