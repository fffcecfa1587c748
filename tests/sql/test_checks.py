"""Every statement is one statement with a header and a Query; every check finds what it is there to find."""

import re
from dataclasses import fields
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import queries
from tasks.database import connect, rows_of
from tasks.queries import SQL, Query
from tasks.sources.catalogue import bundles  # noqa: F401 - its modules have queries too

NOON = datetime(1998, 1, 1, 12, tzinfo=UTC)
LATER = datetime(1998, 1, 1, 13, tzinfo=UTC)
FILES = sorted(place.relative_to(SQL).as_posix() for place in SQL.rglob("*.sql"))


def query_classes(parent: type[Query] = Query) -> dict[str, type[Query]]:
    """Every query with a file, by its file."""
    found: dict[str, type[Query]] = {}
    for child in parent.__subclasses__():
        if "file" in vars(child) and child.__module__.startswith("tasks."):
            found[child.file] = child
        found |= query_classes(child)
    return found


NESTED = {"staging/own_decimals.sql", "staging/own_json.sql", "staging/own_trimmed.sql", "staging/own_typed.sql"}
"""What the statements of own logs read in place of the block; they share its parameters."""


def test_every_file_has_a_query_and_every_query_a_file():
    assert sorted(set(query_classes()) | NESTED) == FILES


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_one_described_statement_with_the_parameters_of_its_query(file):
    text = (SQL / file).read_text()
    assert re.match(r"-- (Grain|Bad rows): ", text)
    assert "-- Columns: " in text or file.startswith("marts/")
    assert ";" not in re.sub(r"--.*", "", text)
    named = set(re.findall(r"\$([a-z_]+)", re.sub(r"--.*", "", text)))
    if file.startswith("staging/own_"):
        own = {field.name for query in (queries.OwnEvents, queries.OwnSlates) for field in fields(query)}
        assert named <= own
    else:
        assert named == {field.name for field in fields(query_classes()[file])}


@pytest.fixture
def write(tmp_path):
    """Write columns as a Parquet file."""

    def to_parquet(name, **columns):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
        return tmp_path / f"{name}.parquet"

    return to_parquet


def bad(query, folder):
    """The rows that a check selects."""
    with connect(folder) as connection:
        return rows_of(query, connection, 10)


def test_dense_ids_finds_gaps_repeats_and_a_wrong_start(write, tmp_path):
    good = write("good", kind=["user", "user", "item"], external=["a", "b", "c"], id=[1, 2, 1])
    assert bad(queries.DenseIds(vocabulary=good), tmp_path) == []
    for ids in ([1, 3], [1, 1], [0, 1]):
        broken = write("broken", kind=["user", "user"], external=["a", "b"], id=ids)
        assert [row["kind"] for row in bad(queries.DenseIds(vocabulary=broken), tmp_path)] == ["user"]


def test_disordered_events_finds_repeated_numbers_and_steps_back_in_time(write, tmp_path):
    good = write("good", event=[1, 2], at=[NOON, LATER])
    assert bad(queries.DisorderedEvents(events=good), tmp_path) == []
    for events, times in (([1, 1], [NOON, LATER]), ([1, 2], [LATER, NOON])):
        broken = write("broken", event=events, at=times)
        assert len(bad(queries.DisorderedEvents(events=broken), tmp_path)) == 1


def test_repeated_names_finds_a_name_of_one_kind_only(write, tmp_path):
    good = write("good", kind=["user", "item"], external=["a", "a"])
    assert bad(queries.RepeatedNames(vocabulary=good), tmp_path) == []
    broken = write("broken", kind=["user", "user", "item"], external=["a", "a", "a"])
    found = bad(queries.RepeatedNames(vocabulary=broken), tmp_path)
    assert found == [{"kind": "user", "external": "a", "times": 2}]


@pytest.mark.parametrize(
    ("column", "name", "kind"),
    [
        ("user", "events", "user"),
        ("item", "events", "item"),
        ("described", "items", "item"),
        ("head", "triples", "item"),
        ("tail", "triples", "entity"),
    ],
)
def test_dangling_ids_finds_each_kind_of_stranger(write, tmp_path, column, name, kind):
    ids = dict.fromkeys(("user", "item", "described", "head", "tail"), 1)
    vocabulary = write("vocabulary", kind=["user", "item", "entity"], external=["a", "b", "c"], id=[1, 1, 1])

    def dangling():
        return bad(
            queries.DanglingIds(
                events=write("events", user=[ids["user"]], item=[ids["item"]]),
                items=write("items", item=[ids["described"]]),
                triples=write(
                    "triples", head_kind=["item"], head=[ids["head"]], tail_kind=["entity"], tail=[ids["tail"]]
                ),
                vocabulary=vocabulary,
            ),
            tmp_path,
        )

    assert dangling() == []
    ids[column] = 9
    assert dangling() == [{"name": name, "kind": kind, "id": 9}]


def test_dangling_actions_finds_shown_items_that_are_none_or_strangers(write, tmp_path):
    vocabulary = write("vocabulary", kind=["item", "item", "user"], external=["a", "b", "c"], id=[1, 2, 9])

    def dangling(*items):
        slates = write("slates", event=list(range(len(items))), item=pa.array(items, pa.int32()))
        check = queries.DanglingActions(slates=slates, vocabulary=vocabulary)
        return sorted((row["event"], row["item"]) for row in bad(check, tmp_path))

    assert dangling(1, 2) == []
    assert dangling(1, 0, 3, None) == [(1, 0), (2, 3), (3, None)]


def test_unsplit_events_finds_missing_doubled_and_unknown_events(write, tmp_path):
    events = write("events", event=[1, 2])

    def unsplit(placed):
        splits = write("splits", event=placed, split=["train"] * len(placed), protocol=["world"] * len(placed))
        rows = bad(queries.UnsplitEvents(events=events, splits=splits), tmp_path)
        return [(row["event"], row["times"]) for row in rows]

    assert unsplit([1, 2]) == []
    assert unsplit([1]) == [(2, 0)]
    assert unsplit([1, 2, 2]) == [(2, 2)]
    assert unsplit([1, 2, 7]) == [(7, 1)]


def test_leaked_edges_finds_pairs_of_later_slices_only(write, tmp_path):
    events = write("events", event=[1, 2, 3], user=[1, 1, 1], item=[5, 5, 6])
    slices, protocol = ["train", "test", "test"], ["world"] * 3
    splits = write("splits", event=[1, 2, 3], split=slices, protocol=protocol)

    def leaked(*items):
        relation = ["user-item"] * len(items) + ["item-user-item"]
        edges = write("edges", source=[1] * len(relation), target=[*items, 6], relation=relation)
        return bad(queries.LeakedEdges(edges=edges, events=events, splits=splits, protocol="world"), tmp_path)

    assert leaked(5) == []
    assert leaked(5, 6) == [{"user": 1, "item": 6}]


def test_leaked_counts_finds_items_that_users_of_later_slices_are_counted_for(write, tmp_path):
    events = write("events", event=[1, 2, 3], user=[1, 1, 2], item=[5, 5, 5])
    splits = write("splits", event=[1, 2, 3], split=["train", "train", "test"], protocol=["world"] * 3)

    def leaked(number):
        counts = write("counts", item=[5, 6], users=[number, 0])
        check = queries.LeakedCounts(counts=counts, events=events, splits=splits, protocol="world", slices=("train",))
        return bad(check, tmp_path)

    assert leaked(1) == []
    assert leaked(2) == [{"item": 5, "users": 2, "known": 1}]


@pytest.mark.parametrize(("protocol", "late"), [("world", [2, 3]), ("global_time", [2, 3, 5, 6])])
def test_leaked_slates_finds_those_after_the_users_or_anybodys_first_held_out_event(write, tmp_path, protocol, late):
    moments = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    events = write("events", event=[1, 2, 3], user=[1, 1, 2], at=moments)
    splits = write("splits", event=[1, 2, 3], split=["train", "test", "train"], protocol=[protocol] * 3)
    learned = write("learned", event=[1, 2, 3, 4, 5, 6], user=[1, 1, 1, 2, 2, 2], at=[*moments, *moments])
    check = queries.LeakedSlates(
        learned=learned, events=events, splits=splits, by_user="world", at_once="global_time", until="2024-01-04"
    )
    assert sorted(row["event"] for row in bad(check, tmp_path)) == late
