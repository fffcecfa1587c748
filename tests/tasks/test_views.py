"""A view of slates whose log tells no propensity, and of facts that change."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from rlrec.tables import TRIPLES
from tasks.sources import fetch
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
    told = json.loads((folder / "corpus.json").read_text()).get("propensities")
    assert (told["model"], told["rows"]["estimated"]) == ("frequency", 45) if asked else told is None


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


def test_of_what_an_item_was_in_turn_the_latest_counts_whichever_file_told_it(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    raw.mkdir()

    def facts(*properties: str) -> set[tuple[str, str, str]]:
        """What a further file of properties leaves the corpus with: item, relation, value."""
        part = raw / f"item_properties_part{len(list(raw.iterdir()))}.csv"
        part.write_text("\n".join(["timestamp,itemid,property,value", *properties]) + "\n")
        corpus = ingest(fetch("retailrocket", raw), out).path
        names = {(kind, id_): name for kind, name, id_ in pl.read_parquet(corpus / "vocabulary.parquet").rows()}
        found = pl.read_parquet(corpus / f"{TRIPLES.name}.parquet").rows()
        return {
            (names[head_kind, head], relation, names[kind, tail]) for head_kind, head, relation, kind, tail in found
        }

    (raw / "events.csv").write_text("timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n")
    (raw / "category_tree.csv").write_text("categoryid,parentid\n7,1\n7,2\n")
    tree = {("category:7", "category.parent", f"category:{parent}") for parent in (1, 2)}
    first = facts("1441508400000,2,categoryid,7", "1435460400000,2,categoryid,8", "1441508400000,2,790,n9.000")
    price = ("2", "item.property:790", "property:790=n9.000")
    assert first == {("2", "item.category", "category:7"), price, *tree}
    assert facts("1441508400001,2,categoryid,9", "1435460400000,2,790,n1.000") == {
        ("2", "item.category", "category:9"), price, *tree,
    }  # fmt: skip


def test_a_base_of_before_facts_had_moments_is_read(tmp_path):
    (tmp_path / "raw").mkdir()
    for name, text in {
        "events.csv": "timestamp,visitorid,event,itemid,transactionid\n1433221332117,1,view,2,\n",
        "category_tree.csv": "categoryid,parentid\n7,1\n",
    }.items():
        (tmp_path / "raw" / name).write_text(text)
    source, out = fetch("retailrocket", tmp_path / "raw"), tmp_path / "out"
    told = pl.read_parquet(ingest(source, out).path / "triples.parquet")
    (base,) = (out / "base" / "triples").iterdir()
    pl.read_parquet(base).drop("moment").write_parquet(base)
    again = ingest(source, out, view=ViewSettings(positive_from=3.0)).path
    assert pl.read_parquet(again / "triples.parquet").equals(told)
    assert told.height == 1
