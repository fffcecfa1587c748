"""Knowledge graphs: facts, links and names as the files tell them, each bad field with its reason."""

import gzip

import pytest

from tasks.sources.catalogue.bundle import Part
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.catalogue.knowledge import DbpediaIdentifiers
from tasks.sources.catalogue.movielens import Links, Triples
from tasks.sources.registry import FREEBASE
from tests.sql.staging.lists_support import Understood, staged

SPLIT = BUNDLES["ml-1m-dbpedia-split"]
I2KG = "eid\tpid\tname\tentity\n0\t761\tThe_Phantom\thttp://dbpedia.org/resource/The_Phantom\n"


def part_of(bundle: str, kind: type) -> Part:
    """The bundle's part of this statement."""
    found = [part for part in BUNDLES[bundle].parts if isinstance(part, Part)]
    return next(part for part in found if isinstance(part.statement, kind))


def of(bundle: str, kind: type, content, folder) -> Understood:
    """Stage this content as the bundle's part of that statement."""
    part = part_of(bundle, kind)
    return staged(part.form, part.statement, content, folder)


@pytest.mark.parametrize(
    ("form", "header"),
    [
        (FREEBASE.knowledge, "head_id:token\trelation_id:token\ttail_id:token\n"),
        (part_of("ml-1m-mkr", Triples).form, ""),
        (part_of("ml-1m-dbpedia", Triples).form, "entity_head\trelation\tentity_tail\n"),
    ],
    ids=["atomic", "mkr", "dbpedia"],
)
def test_facts_are_triples_of_entities(tmp_path, form, header):
    found = staged(form, Triples(), f"{header}749\tfilm.writer\t 23 \n1\t\t2\n\tr\t2\n1\tr\t\n1\tr\n", tmp_path)
    assert found.told("head_kind", "head_external", "relation", "tail_kind", "tail_external") == [
        ("entity", "749", "film.writer", "entity", "23")
    ]
    first = 2 + bool(header)
    assert found.rejects == [
        (first, "relation", "empty"),
        (first + 1, "head", "empty"),
        (first + 2, "tail", "empty"),
        (first + 3, None, "2 fields instead of 3"),
    ]


@pytest.mark.parametrize(
    ("form", "header"),
    [(FREEBASE.links, "item_id:token\tentity_id:token\n"), (part_of("ml-1m-mkr", Links).form, "")],
    ids=["atomic", "mkr"],
)
def test_links_join_positive_items_to_entities(tmp_path, form, header):
    found = staged(form, Links(), f"{header} 07\tm.1\n0\tm.2\nx\tm.3\n8\t \n{'9' * 20}\tm.4\n", tmp_path)
    assert found.told("item_external", "entity_external") == [("7", "m.1")]
    first = 2 + bool(header)
    assert found.rejects == [
        (first, "item", "not a positive whole number"),
        (first + 1, "item", "not a positive whole number"),
        (first + 2, "entity", "empty"),
        (first + 3, "item", "not a positive whole number"),
    ]


def test_dbpedia_links_films_by_their_movielens_ids_or_as_its_entities(tmp_path):
    by_movie = of("ml-1m-dbpedia", Links, I2KG, tmp_path)
    assert by_movie.told("item_external", "entity_external") == [("761", "0")]
    by_entity = of("ml-1m-dbpedia-split", Links, f"{I2KG}x\t1\tn\tu\n", tmp_path)
    assert by_entity.told("item_external", "entity_external") == [("0", "0")]
    assert by_entity.rejects == [(3, "item", "not a whole number")]


def test_dbpedias_films_are_named_by_two_authorities(tmp_path):
    found = of("ml-1m-dbpedia-split", DbpediaIdentifiers, f"{I2KG}1\tx\tn\turi\n2\t5\tn\t\ny\t5\tn\turi\n", tmp_path)
    assert found.told("item_external", "authority", "identifier") == [
        ("0", "movielens", "761"),
        ("0", "dbpedia", "http://dbpedia.org/resource/The_Phantom"),
        ("1", "dbpedia", "uri"),
        ("2", "movielens", "5"),
    ]
    assert found.rejects == [
        (3, "pid", "not a whole number"),
        (4, "entity", "empty"),
        (5, "eid", "not a whole number"),
        (5, "eid", "not a whole number"),
    ]


@pytest.mark.data
def test_published_graphs_have_their_rows(data, tmp_path):
    folder = data / "ml-1m-kg"
    mkr = [
        of("ml-1m-mkr", Triples, folder / "mkr" / "kg.txt.gz", tmp_path),
        of("ml-1m-mkr", Links, folder / "mkr" / "item_index2entity_id.txt", tmp_path),
    ]
    assert [found.counts.accepted for found in mkr] == [20_782, 2_347]
    assert mkr[1].rows["entity_external"].n_unique() == 2_347
    graph = of("ml-1m-dbpedia", Triples, folder / "dbpedia" / "kg_final.txt.gz", tmp_path)
    assert (graph.counts.accepted, graph.rows["relation"].n_unique()) == (205_521, 11)
    identifiers = of("ml-1m-dbpedia-split", DbpediaIdentifiers, folder / "dbpedia" / "i2kg_map.txt.gz", tmp_path)
    assert identifiers.counts.accepted == 2 * 2_983
    atomic = data / "ml-100k"
    assert staged(FREEBASE.knowledge, Triples(), atomic / "ml-100k.kg.gz", tmp_path).counts.accepted == 91_631
    assert staged(FREEBASE.links, Links(), atomic / "ml-100k.link.gz", tmp_path).counts.accepted == 1_598


@pytest.mark.data
def test_dbpedias_split_is_of_dense_films(data, tmp_path):
    folder = data / "ml-1m-kg" / "dbpedia"
    feeds = [part.feed(folder / f"{part.name}.gz") for part in SPLIT.parts if part.name in ("valid.txt", "test.txt")]
    valid, test = (staged(feed.form, feed.statement, feed.file, tmp_path) for feed in feeds)
    assert (valid.counts.accepted, test.counts.accepted) == (190_063, 185_241)
    with gzip.open(folder / "i2kg_map.txt.gz", "rt") as stream:
        films = {line.split("\t")[0] for line in stream}
    assert set(valid.rows["item_external"]) | set(test.rows["item_external"]) <= films
    assert valid.rows["moment"].null_count() == 0
