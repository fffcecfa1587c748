"""Lists: each item of a line is an event in its place, each number of a relation file a fact; nothing is skipped."""

import gzip
import json

import pytest

from rlrec.errors import InputError
from tasks.sources.catalogue.bundle import Part
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.catalogue.lists import IndexedNames, IndexedRelation, ItemAttributes, UserItems
from tasks.sources.registry import text_lines
from tests.sql.staging.lists_support import staged

LINES = text_lines("train.txt")
CHECKINS = UserItems(behaviour="checkin")
NO_ID = "not an id like those of this source"


def test_each_item_of_a_line_is_an_event_in_its_place(tmp_path):
    found = staged(LINES, CHECKINS, "0 7 5 7\n\n1 \t 9  \r\n2\n3 \n", tmp_path)
    assert found.told("line", "user_external", "item_external", "place") == [
        (1, "0", "7", 0),
        (1, "0", "5", 1),
        (1, "0", "7", 2),
        (3, "1", "9", 0),
    ]
    assert found.rows.select("session_external", "value", "moment").null_count().row(0) == (4, 4, 4)
    assert set(found.rows["behaviour"]) == {"checkin"}
    assert found.counts.dropped == {"no items": 2}
    assert (found.counts.lines, found.counts.blank, found.counts.read, found.counts.rows) == (5, 1, 4, 6)


def test_a_bad_id_costs_its_item_and_a_bad_user_the_line(tmp_path):
    found = staged(LINES, CHECKINS, f"0 5 x 6\nx 1 2\n1 {'9' * 19} -3\n2 1.5\n", tmp_path)
    assert found.told("line", "item_external", "place") == [(1, "5", 0), (1, "6", 2)]
    assert found.rejects == [
        (1, "item", NO_ID),
        (2, "user", NO_ID),
        (3, "item", NO_ID),
        (3, "item", NO_ID),
        (4, "item", NO_ID),
    ]


def test_another_separator_is_no_file_of_users_without_items(tmp_path):
    with pytest.raises(InputError, match=r"3 of 3 rows are rejected.*not an id like those"):
        staged(LINES, CHECKINS, "0,1,2\n1,3\n2\t4,5\n", tmp_path, most=0.01)


def test_a_line_of_a_relation_file_is_about_its_number(tmp_path):
    found = staged(LINES, IndexedRelation(relation="item.produced_by", tail_name="brand"), "\n8 3\n\n1 x\n", tmp_path)
    assert found.told("head_kind", "head_external", "relation", "tail_kind", "tail_external") == [
        ("item", "1", "item.produced_by", "entity", "brand:8"),
        ("item", "1", "item.produced_by", "entity", "brand:3"),
        ("item", "3", "item.produced_by", "entity", "brand:1"),
    ]
    assert found.rejects == [(4, "brand", "not a whole number")]
    assert (found.counts.blank, found.counts.read) == (2, 2)
    same_kind = staged(LINES, IndexedRelation(relation="item.like", tail_name="product"), "1\n", tmp_path)
    assert same_kind.told("head_external", "tail_kind", "tail_external") == [("0", "item", "1")]


def test_a_line_of_a_name_file_names_its_number(tmp_path):
    found = staged(LINES, IndexedNames(authority="amazon"), "B003QLRO7W\n B000TBZHNK \n", tmp_path)
    assert found.told("item_external", "authority", "identifier") == [
        ("0", "amazon", "B003QLRO7W"),
        ("1", "amazon", "B000TBZHNK"),
    ]


def test_attributes_of_items_are_facts(tmp_path):
    described = {"4": [1, "ä b"], "5": [], "6": 3, "": [1], "7": [None, 2]}
    found = staged(LINES, ItemAttributes(), json.dumps(described), tmp_path)
    assert found.told("head_kind", "head_external", "relation", "tail_kind", "tail_external") == [
        ("item", "4", "item.attribute", "entity", "attribute:1"),
        ("item", "4", "item.attribute", "entity", "attribute:ä b"),
        ("item", "7", "item.attribute", "entity", "attribute:2"),
    ]
    assert sorted(found.rejects, key=str) == [
        (1, "attribute", "empty"),
        (1, "attribute", "not a list"),
        (1, "item", "empty"),
    ]
    assert found.counts.dropped == {"no attributes": 1}


@pytest.mark.parametrize("bad", ["{", "[1]", "5", '{"1": [1], "1": [2]}'])
def test_attributes_that_are_no_object_are_rejected_whole(tmp_path, bad):
    found = staged(LINES, ItemAttributes(), f'{{"1": [1]}}\n{bad}\n{{}}\n', tmp_path)
    assert found.rejects == [(2, None, "neither a JSON object, nor with each item once")]
    assert (found.rows.height, found.counts.dropped) == (1, {"no attributes": 1})


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder", "accepted"),
    [
        ("amazon-beauty-s3rec", "amazon-beauty-s3rec", [198_502, 45_037]),
        ("amazon-toys-s3rec", "amazon-toys-s3rec", [167_597, 51_022]),
        (
            "amazon-beauty-kg",
            "amazon-beauty-kg",
            [149_844, 48_658, 891_182, 155_350, 9_021, 10_021, 49_756, 12_101],
        ),
    ],
)
def test_every_published_file_has_its_rows(data, tmp_path, name, folder, accepted):
    parts = [part for part in BUNDLES[name].parts if isinstance(part, Part)]
    found = [
        staged(part.form, part.statement, data / folder / f"{part.name}.gz", tmp_path, most=0.0).counts
        for part in parts
    ]
    assert [counts.accepted for counts in found] == accepted
    for part, counts in zip(parts, found, strict=True):
        with gzip.open(data / folder / f"{part.name}.gz") as raw:
            assert counts.lines == sum(1 for _ in raw)
        assert counts.lines == counts.read + counts.blank
