"""A view of slates whose log tells no propensity."""

import json
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
    told = json.loads((folder / "corpus.json").read_text()).get("propensities")
    assert (told["model"], told["rows"]["estimated"]) == ("frequency", 45) if asked else told is None
