"""Linkage: right links agree with what is known of the items, wrong ones look like chance, and little says nothing."""

import itertools
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tasks import queries
from tasks.database import connect, run
from tasks.linkage import LARGEST_NODE, LEAST_PAIRS, LEAST_SCORE, Agreement, agreement
from tasks.sources import fetch
from tasks.warehouse import GENRES_AND_FACTS, GENRES_ONLY, ingest, read_description
from tests.tiny import write_tiny

NO_GENRE = "unknown"


def staged(folder: Path, name: str, rows: list[tuple], columns: tuple[str, ...]) -> tuple[str, ...]:
    """A staged file."""
    pl.DataFrame(rows, schema=list(columns), orient="row").write_parquet(folder / f"{name}.parquet")
    return (str(folder / f"{name}.parquet"),)


def world(
    folder: Path, categories: dict[int, list[str]], links: dict[int, str], facts: list[tuple]
) -> dict[str, tuple[str, ...]]:
    """Staged items, links and facts."""
    return {
        "items": staged(
            folder, "items", [(str(i), names) for i, names in categories.items()], ("item_external", "categories")
        ),
        "links": staged(
            folder, "links", [(str(i), name) for i, name in links.items()], ("item_external", "entity_external")
        ),
        "knowledge": staged(folder, "knowledge", facts, ("head_external", "relation", "tail_external")),
    }


def pairs_of(folder: Path, staged_files: dict[str, tuple[str, ...]], most_pairs: int = 1000) -> list[tuple[int, int]]:
    """The pairs that the statement finds."""
    query = queries.LinkedPairs(
        **staged_files, no_genre=NO_GENRE, largest_node=LARGEST_NODE, most_pairs=most_pairs
    )  # fmt: skip
    with connect(folder) as connection:
        run(query, folder / "pairs.parquet", connection)
    pairs = pl.read_parquet(folder / "pairs.parquet").cast(pl.Int64).rows()
    return sorted((min(pair), max(pair)) for pair in pairs)


def measure(folder: Path, staged_files: dict[str, tuple[str, ...]]) -> Agreement:
    """The agreement of the staged files."""
    with connect(folder) as connection:
        return agreement(**staged_files, scratch=folder, connection=connection, no_genre=NO_GENRE)


def families(folder: Path) -> dict[str, tuple[str, ...]]:
    """120 items, six to a director and to a first genre, by turns of two second genres."""
    count, size = 120, 6
    categories = {i: [f"g{i // size % 4}", f"h{i % 2}"] for i in range(count)}
    links = {i: f"m.{i}" for i in range(count)}
    facts = [(f"m.{i}", "film.directed_by", f"m.d{i // size}") for i in range(count)]
    return world(folder, categories, links, facts)


def test_pairs_share_a_small_node_in_one_relation_or_stand_in_one_fact(tmp_path):
    crowd = range(10, 10 + LARGEST_NODE + 1)
    files = world(
        tmp_path,
        {i: ["Drama"] for i in (1, 2, 3, 4, 5, *crowd)} | {6: [NO_GENRE], 7: []},
        {i: f"m.{i}" for i in (1, 2, 3, 4, 5, 6, 7, 8, *crowd)},
        [
            ("m.1", "by", "m.d"),
            ("m.2", "by", "m.d"),
            ("m.d", "made", "m.2"),  # the same fact from the other side adds no pair
            ("m.d", "made", "m.1"),
            ("m.3", "with", "m.d"),  # the same node in another relation is another role
            ("m.4", "sequel", "m.5"),
            ("m.6", "by", "m.d"),  # nothing is known of its genre
            ("m.7", "by", "m.d"),
            ("m.8", "by", "m.d"),  # no such item
            *((f"m.{i}", "in", "m.usa") for i in crowd),
        ],
    )
    assert pairs_of(tmp_path, files) == [(1, 2), (4, 5)]


def test_of_many_pairs_the_same_few_are_taken_whatever_the_order_of_the_facts(tmp_path):
    files = families(tmp_path)
    everything = pairs_of(tmp_path, files)
    few = pairs_of(tmp_path, files, most_pairs=30)
    assert len(everything) == 20 * 15  # 20 directors, pairs of 6 films
    assert len(few) == 30
    assert set(few) < set(everything)
    assert max(few) > everything[len(everything) // 2]
    pl.read_parquet(files["knowledge"]).reverse().write_parquet(*files["knowledge"])
    assert pairs_of(tmp_path, files, most_pairs=30) == few


def test_the_measure_is_the_mean_cosine_over_pairs_against_all_pairs(tmp_path):
    found = measure(tmp_path, families(tmp_path))
    shown = {i: {f"g{i // 6 % 4}", f"h{i % 2}"} for i in range(120)}

    def mean_cosine(pairs) -> float:
        return float(np.mean([len(shown[i] & shown[j]) / 2 for i, j in pairs]))

    everyone = list(itertools.combinations(range(120), 2))
    assert found.pairs == 20 * 15
    assert found.shared == pytest.approx(mean_cosine((i, j) for i, j in everyone if i // 6 == j // 6))
    assert found.any_two == pytest.approx(mean_cosine(everyone))
    assert found.fits


def test_shuffled_links_do_not_fit(tmp_path):
    draw = random.Random(3)
    files = families(tmp_path)
    links = pl.read_parquet(files["links"])
    shuffled = draw.sample(links["entity_external"].to_list(), links.height)
    links.with_columns(entity_external=pl.Series(shuffled)).write_parquet(*files["links"])
    found = measure(tmp_path, files)
    assert found.score is not None
    assert abs(found.score) < LEAST_SCORE
    assert not found.fits


def test_little_evidence_is_no_evidence_against_the_links(tmp_path):
    files = world(tmp_path, {1: ["a"], 2: ["b"]}, {1: "m.1", 2: "m.2"}, [("m.1", "by", "m.d"), ("m.2", "by", "m.d")])
    found = measure(tmp_path, files)
    assert found == Agreement(pairs=1)
    assert found.pairs < LEAST_PAIRS
    assert found.fits


def test_items_that_are_all_alike_cannot_tell(tmp_path):
    files = families(tmp_path)
    pl.read_parquet(files["items"]).with_columns(categories=pl.lit(["Drama"])).write_parquet(*files["items"])
    found = measure(tmp_path, files)
    assert (found.shared, found.any_two) == pytest.approx((1, 1))
    assert found.score is None
    assert found.fits


def test_the_tiny_worlds_links_are_accepted_and_wrong_ones_leave_the_facts_unlinked(tmp_path):
    raw = write_tiny(tmp_path / "raw")
    right = ingest(fetch("ml-100k", raw), tmp_path / "right")
    header, *lines = (raw / "ml-100k.link").read_text().splitlines()
    entities = [line.split("\t")[1] for line in lines]
    random.Random(0).shuffle(entities)
    mixed = [f"{line.split()[0]}\t{entity}" for line, entity in zip(lines, entities, strict=True)]
    (raw / "ml-100k.link").write_text("\n".join([header, *mixed]) + "\n")
    wrong = ingest(fetch("ml-100k", raw), tmp_path / "wrong")

    accepted, refused = (read_description(corpus.path) for corpus in (right, wrong))
    assert accepted["knowledge_graph"]["used"] == GENRES_AND_FACTS
    assert accepted["counts"]["items_linked"] == len(lines)
    assert refused["knowledge_graph"]["used"] == GENRES_ONLY
    assert "do not fit these items" in refused["knowledge_graph"]["why"]
    assert refused["counts"]["items_linked"] == 0
    assert refused["counts"]["triples_knowledge"] == accepted["counts"]["triples_knowledge"]
    assert refused["counts"]["entities"] == accepted["counts"]["entities"] + len(lines)
    facts = pl.read_parquet(wrong.path / "triples.parquet").filter(pl.col("relation") != "item.genre")
    assert set(facts["head_kind"]) == set(facts["tail_kind"]) == {"entity"}


def test_movielens_1m_ids_under_the_name_of_100k_are_refused(movielens):
    graph = read_description(movielens.path)["knowledge_graph"]
    assert graph["used"] == GENRES_ONLY
    assert abs(graph["agreement"]["score"]) < LEAST_SCORE
    assert "1,598 links in ml-100k.link" in graph["why"]


def test_the_same_links_fit_movielens_1m(data, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("ml-100k/ml-100k.kg.gz", "ml-100k/ml-100k.link.gz", "ml-1m/movies.dat"):
        (folder / Path(name).name).symlink_to(data / name)
    (folder / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    description = read_description(ingest(fetch("ml-1m", folder), tmp_path / "corpus").path)
    assert description["knowledge_graph"]["used"] == GENRES_AND_FACTS
    assert description["knowledge_graph"]["agreement"]["score"] > 3 * LEAST_SCORE
    assert description["counts"]["items_linked"] == 1_598
