"""Corpus: what the ingested world reads back as."""

import polars as pl
import pytest

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.tables import EVENTS, ITEMS, LOGGED_SLATES, TABLES, check
from tests.tiny import ITEMS as ITEM_COUNT
from tests.tiny import USERS


def test_vocabulary_is_dense_from_one(tiny):
    users, items = tiny.vocabulary("user"), tiny.vocabulary("item")
    assert (len(users), len(items)) == (USERS + 1, ITEM_COUNT + 1)
    assert (users.external[0], items.external[0]) == ("", "")
    assert items.external[1:] == tuple(str(number) for number in range(1, ITEM_COUNT + 1))
    assert all(items.dense[items.external[i]] == i for i in range(1, len(items)))
    assert "" not in items.dense


def test_catalogue_is_aligned_with_dense_ids(tiny):
    catalogue = tiny.catalogue()
    assert len(catalogue) == ITEM_COUNT + 1
    assert not catalogue.eligible[0]
    assert catalogue.eligible[1:].all()
    assert (catalogue.titles[0], catalogue.categories[0]) == ("", ())
    for item, title, categories in tiny.scan(ITEMS).select("item", "title", "categories").collect().iter_rows():
        assert (catalogue.titles[item], catalogue.categories[item]) == (title, tuple(categories))


def test_an_item_without_title_shows_its_external_id(tiny, tmp_path):
    items = tiny.scan(ITEMS).with_columns(title=pl.lit(None, pl.String))
    items.sink_parquet(tmp_path / "items.parquet")
    catalogue = Corpus.of(tmp_path, *tiny.folders).catalogue()
    assert catalogue.titles == catalogue.vocabulary.external


def test_the_first_folder_that_has_a_table_provides_it(tiny, tmp_path):
    tiny.scan(EVENTS).head(3).sink_parquet(tmp_path / "events.parquet")
    assert Corpus.of(tmp_path, *tiny.folders).scan(EVENTS).collect().height == 3
    assert Corpus.of(*tiny.folders, tmp_path).scan(EVENTS).collect().height > 3


def test_a_missing_table_is_named(tiny):
    assert not tiny.has(LOGGED_SLATES)
    with pytest.raises(InputError, match="no table logged_slates"):
        tiny.scan(LOGGED_SLATES)


def test_every_table_of_the_tiny_world_keeps_its_schema(tiny):
    present = [table for table in TABLES if tiny.has(table)]
    assert {table.name for table in present} == {"events", "items", "vocabulary", "splits", "triples", "quarantine"}
    for table in present:
        check(tiny.scan(table), table)
