"""A view of slates whose log tells no propensity, and of facts that change."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from rlrec.splits import WORLD_SLICES
from rlrec.tables import EVENTS, SPLITS, TRIPLES
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


def corpus_of(folder: Path, times: bool, settings: str = "") -> Path:
    """A corpus of 20 users with 40 clicks each, with or without times."""
    folder.mkdir()
    lines = [f"u{n % 20},i{n * 7 % 31},{START + n // 3 * 60 if times else ''}" for n in range(800)]
    (folder / "seen.csv").write_text("\n".join(["u,i,t", *lines]) + "\n")
    mapping = folder / "own.toml"
    text = SEEN if times else SEEN.replace(', time = "t" }', " }").replace('time = { unit = "s" }', "")
    mapping.write_text(text + settings)
    source = own_logs(mapping)
    return Path(ingest(source, folder / "out", view=ViewSettings.of(source)).uri)


def test_without_times_an_order_is_drawn_and_the_world_is_split_in_its_shares(tmp_path):
    corpus = corpus_of(tmp_path / "one", times=False)
    splits = pl.read_parquet(corpus / "splits.parquet")
    assert splits["event"].to_list() == list(range(1, 801))
    placed = splits.join(pl.read_parquet(corpus / "events.parquet"), on="event", maintain_order="left")
    for _, mine in placed.group_by("user"):
        assert dict(mine.group_by("split").len().iter_rows()) == {
            "train": 24, "feedback": 8, "validation": 4, "test": 4,
        }  # fmt: skip
        assert mine["split"].to_list() != sorted(mine["split"], key=WORLD_SLICES.index)
    assert splits.equals(pl.read_parquet(corpus_of(tmp_path / "again", times=False) / "splits.parquet"))


def test_every_filter_and_every_split_of_a_view(tmp_path):
    filters = ("exact_duplicates", "sessions_by_gap", "session_length", "k_core")
    protocols = ("leave_one_out", "user_fraction", "global_time", "by_session", "cold_items", "cold_users")
    text = "".join(f'[[filters]]\nfilter = "{name}"\n' for name in filters)
    text += "".join(f'[[splits]]\nprotocol = "{name}"\n' for name in protocols)
    corpus = corpus_of(tmp_path / "all", True, text)
    told = json.loads((corpus / "corpus.json").read_text())
    events, splits = (pl.read_parquet(corpus / f"{name}.parquet") for name in ("events", "splits"))
    assert [part["filter"] for part in told["dropped"]] == list(filters)
    assert 800 - sum(part["rows"] for part in told["dropped"]) == told["counts"]["events"] == events.height > 0
    assert splits["protocol"].unique(maintain_order=True).to_list() == ["world", *protocols]
    assert splits["event"].to_list() == events["event"].to_list() * 7
    assert events.columns == list(EVENTS.schema)


def test_filters_may_leave_nothing(tmp_path):
    text = '[[filters]]\nfilter = "k_core"\nusers = 50\n' + "".join(
        f'[[splits]]\nprotocol = "{name}"\n' for name in ("global_time", "by_session", "cold_items")
    )
    corpus = corpus_of(tmp_path / "none", True, text)
    assert pl.read_parquet(corpus / "events.parquet").is_empty()
    assert pl.read_parquet(corpus / "splits.parquet").schema == SPLITS.schema


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
