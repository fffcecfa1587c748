"""Increments: what a warehouse promises, however its files come in."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from rlrec.errors import InputError
from tasks import loading
from tasks.manifest import SCHEMA_VERSION, Manifest, read_manifest
from tasks.queries import Stage
from tasks.sources import RawFile
from tasks.sources.catalogue import Feed
from tasks.warehouse import ingest
from tests.logs import (
    DAY,
    FIRST_DAY,
    UNICODE_USERS,
    assert_sound,
    day_of_log,
    external_events,
    files_of,
    ids_of,
    source_of,
    write_log,
)

DAYS, ROWS, BUCKET_BYTES = 3, 400, 4096
BAD = ("user1,,item 1,view", ",,item 1,view,1700006400", "user1,,item 1,view,-5")
EVENT = '"user", "at", item, behaviour, value, session'


@pytest.fixture(autouse=True, scope="module")
def small_buckets():
    """Several buckets even for small files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "BUCKET_BYTES", BUCKET_BYTES)
        yield


@dataclass(frozen=True)
class Moment:
    """A warehouse as it was after one of its increments."""

    manifest: Manifest
    ids: dict[tuple[str, str], int]
    files: dict[str, tuple[int, int]]


def moment(warehouse: Path) -> Moment:
    """As it is now."""
    return Moment(assert_sound(warehouse), ids_of(warehouse), files_of(warehouse))


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> list[Path]:
    """A file a day, with bad lines; from the second on, each has a copy of a row of the day before."""
    made = [day_of_log(day, ROWS) for day in range(DAYS)]
    late = [[], *([rows[0]] for rows in made)]
    folder = tmp_path_factory.mktemp("days")
    return [write_log(folder / f"day{day}.csv", made[day] + late[day], BAD[: day + 1]) for day in range(DAYS)]


@pytest.fixture(scope="module")
def whole(days, tmp_path_factory) -> Path:
    """The warehouse that all days made at once."""
    out = tmp_path_factory.mktemp("whole") / "warehouse"
    ingest(source_of(*days), out)
    return out


@pytest.fixture(scope="module")
def daily(days, tmp_path_factory) -> tuple[Path, list[Moment]]:
    """The warehouse that they made one by one, and how it was after each."""
    out, moments = tmp_path_factory.mktemp("daily") / "warehouse", []
    for file in days:
        ingest(source_of(file), out)
        moments.append(moment(out))
    return out, moments


def degrees(events: pl.DataFrame, column: str) -> Counter[str]:
    """How many events each user or item has."""
    return Counter(events[column].to_list())


def test_day_by_day_holds_what_a_full_rebuild_holds(whole, daily):
    rebuilt, grown = external_events(whole), external_events(daily[0])
    assert len(rebuilt) > DAYS * ROWS * 0.95
    assert rebuilt.equals(grown)
    assert ids_of(whole).keys() == ids_of(daily[0]).keys()
    for column in ("user", "item", "session"):
        assert degrees(rebuilt, column) == degrees(grown, column)
    one, other = assert_sound(whole), assert_sound(daily[0])
    assert [part.counts for part in one.inputs] == [part.counts for part in other.inputs]
    assert one.vocabulary == other.vocabulary


def test_a_rebuild_in_another_order_holds_the_same(days, whole, tmp_path):
    ingest(source_of(*reversed(days)), tmp_path / "other")
    assert external_events(tmp_path / "other").equals(external_events(whole))
    assert ids_of(tmp_path / "other").keys() == ids_of(whole).keys()


def test_an_increment_never_renumbers(daily):
    _, moments = daily
    for before, after in pairwise(moments):
        assert before.ids.items() <= after.ids.items()
        assert len(before.ids) < len(after.ids)
        for kind, last in before.manifest.vocabulary.items():
            new = sorted(number for (name, _), number in (after.ids.items() - before.ids.items()) if name == kind)
            assert new == list(range(last + 1, after.manifest.vocabulary[kind] + 1))


def test_rows_are_conserved_after_each_increment(daily):
    _, moments = daily
    for day, now in enumerate(moments):
        assert [part.generation for part in now.manifest.inputs] == list(range(1, day + 2))
        assert [part.counts.quarantined for part in now.manifest.inputs] == list(range(1, day + 2))
        assert now.manifest.accepted("events") == sum(part.counts.read for part in now.manifest.inputs) - sum(
            part.counts.quarantined for part in now.manifest.inputs
        )


def test_the_same_files_give_the_same_corpus_to_the_byte(days, tmp_path):
    one, other = (ingest(source_of(*days), tmp_path / name) for name in ("one", "other"))
    assert one.digest == other.digest


def test_a_file_that_is_known_changes_nothing(days, daily):
    out, _ = daily
    ingest(source_of(days[0]), out)  # sweeps what the last increment replaced
    manifest, files, views = (out / "manifest.json").read_bytes(), files_of(out), stamps(out / "views")
    for known in (days[1:2], days):
        ingest(source_of(*known), out)
        assert (out / "manifest.json").read_bytes() == manifest
        assert (files_of(out), stamps(out / "views")) == (files, views)
    assert files.keys() == {file.path for file in assert_sound(out).files}


def stamps(folder: Path) -> dict[str, int]:
    """File -> modification time."""
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_known_files_beside_a_new_one_are_left_out(days, tmp_path):
    out = tmp_path / "warehouse"
    ingest(source_of(days[0], days[0]), out)
    ingest(source_of(days[0], days[1]), out)
    assert [part.name for part in assert_sound(out).inputs] == ["day0.csv", "day1.csv"]


def test_a_late_row_lands_in_its_day_and_touches_one_file(days, tmp_path):
    out = tmp_path / "warehouse"
    ingest(source_of(*days), out)
    before = moment(out)
    late = ("日本語の人", "", "item 1", "view", FIRST_DAY + DAY + 5)
    ingest(source_of(write_log(tmp_path / "late.csv", [late])), out)
    after = moment(out)
    old, new = ({file.path: file for file in now.manifest.of("events")} for now in (before, after))
    (added,) = new.keys() - old.keys()
    (gone,) = old.keys() - new.keys()
    assert new[added].period == old[gone].period == "2023-11-16"
    assert (new[added].bucket, new[added].rows) == (old[gone].bucket, old[gone].rows + 1)
    assert all(after.files[path] == before.files[path] for path in old.keys() & new.keys())


def test_partitions_are_sorted_and_repeats_are_marked_across_increments(daily):
    out, moments = daily
    repeats = 0
    for file in moments[-1].manifest.of("events"):
        rows = pl.read_parquet(out / file.path)
        assert rows.select("user", "at").equals(rows.select("user", "at").sort("user", "at"))
        assert set(rows["at"].dt.strftime("%Y-%m-%d")) == {file.period}
        equal = rows.drop("place", "repeat").is_duplicated()
        later = rows.select(pl.int_range(pl.len()).over("user", "session", "item", "behaviour", "value", "at") > 0)
        assert rows["repeat"].to_list() == later.to_series().to_list()
        assert equal.sum() >= rows["repeat"].sum()
        repeats += int(rows["repeat"].sum())
    assert repeats >= DAYS * (ROWS // 20) + DAYS - 1  # those within a file, and the copies in the next day's file


def test_equal_events_of_one_second_repeat_and_others_do_not(tmp_path):
    at = FIRST_DAY
    rows = [("u", "s", "i", "view", at), ("u", "s", "i", "cart", at), ("u", "", "i", "view", at)]
    out = tmp_path / "warehouse"
    for name, some in (("one", rows), ("two", rows[:1]), ("three", rows[2:] * 2)):
        ingest(source_of(write_log(tmp_path / f"{name}.csv", [*some, (name, "", name, "view", at)])), out)
    events = pl.concat(pl.read_parquet(out / file.path) for file in assert_sound(out).of("events"))
    assert events.group_by("repeat").len().sort("repeat").rows() == [(False, 6), (True, 3)]
    assert external_events(out).height == 6


def test_any_unicode_and_any_length_is_an_id(daily):
    names = {name for kind, name in ids_of(daily[0]) if kind == "user"}
    assert set(UNICODE_USERS) <= names


def test_sessions_of_different_users_never_meet(tmp_path):
    at = FIRST_DAY
    rows = [("a/b", "c", "i", "view", at), ("a", "b/c", "i", "view", at), ("a/b", "a/b", "i", "view", at)]
    rows += [("a", "b", "i", "view", at), ("a\\", "b", "i", "view", at), ("a", "\\/b", "i", "view", at)]
    ingest(source_of(write_log(tmp_path / "log.csv", rows)), tmp_path / "warehouse")
    events = external_events(tmp_path / "warehouse")
    assert events["session"].null_count() == 0
    assert events["session"].n_unique() == len(rows)


def test_a_rebuild_from_the_saved_vocabulary_has_the_same_ids(days, daily, tmp_path):
    out, moments = daily
    again = tmp_path / "again"
    ingest(source_of(*reversed(days)), again, vocabulary=out)
    assert ids_of(again) == moments[-1].ids
    assert external_events(again).equals(external_events(out))
    assert assert_sound(again).vocabulary == moments[-1].manifest.vocabulary


def test_a_saved_vocabulary_goes_on_for_new_names(days, daily, tmp_path):
    out, moments = daily
    new = write_log(tmp_path / "new.csv", [("newcomer", "", "item 1", "view", FIRST_DAY)])
    again = tmp_path / "again"
    for _ in range(2):  # the second time it is known
        ingest(source_of(new), again, vocabulary=out)
    added = ids_of(again).items() - moments[-1].ids.items()
    assert added == {(("user", "newcomer"), moments[-1].manifest.vocabulary["user"] + 1)}
    assert external_events(again)["user"].to_list() == ["newcomer"]


def test_a_vocabulary_comes_too_late_for_a_warehouse_that_has_one(days, daily, tmp_path):
    ingest(source_of(days[1]), tmp_path / "own")
    with pytest.raises(InputError, match="ids of its own"):
        ingest(source_of(days[0]), tmp_path / "own", vocabulary=daily[0])
    with pytest.raises(InputError, match="is no warehouse"):
        ingest(source_of(days[0]), tmp_path / "new", vocabulary=tmp_path)


def test_a_manifest_of_the_previous_version_is_read_and_of_another_refused(days, tmp_path):
    out = tmp_path / "warehouse"
    ingest(source_of(days[0]), out)
    now = read_manifest(out)
    file = out / "manifest.json"
    content = json.loads(file.read_text())
    file.write_text(
        json.dumps({name: content[name] for name in content if name != "links_fit"} | {"schema_version": 1})
    )
    assert read_manifest(out) == now
    ingest(source_of(days[1]), out)
    assert assert_sound(out).schema_version == SCHEMA_VERSION
    for version in (SCHEMA_VERSION + 1, 0, None, "2"):
        file.write_text(json.dumps(content | {"schema_version": version}))
        with pytest.raises(InputError, match=f"schema version {version}, this rlrec reads 1 and 2") as refusal:
            ingest(source_of(days[1]), out)
        assert refusal.value.file == str(file)


DAMAGE = {
    "cut off": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "no object": lambda _: "[1]",
    "a count is no number": lambda text: text.replace('"generation": 1', '"generation": "x"'),
    "an unknown key": lambda text: text.replace("{", '{"extra": 1,', 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_manifest_is_refused_and_nothing_is_swept(damage, days, tmp_path):
    out = tmp_path / "warehouse"
    ingest(source_of(days[0]), out)
    file, held = out / "manifest.json", files_of(out)
    file.write_text(damage(file.read_text()))
    with pytest.raises(InputError, match="manifest is damaged") as refusal:
        ingest(source_of(days[1]), out)
    assert refusal.value.file == str(file)
    assert files_of(out) == held


class Likes(Stage):
    """Facts about users, as PGPR's relation files state them: user, item."""

    file, table = "likes", "triples"

    @property
    def text(self) -> str:
        """The statement."""
        return (
            "select line, 'user' as head_kind, who as head_external, 'likes' as relation, 'item' as tail_kind, "
            "what as tail_external, null::timestamptz as moment, null::varchar as rejected_column, "
            "fault as reason, null::varchar as filter "
            "from block"
        )


def test_a_user_known_by_facts_first_has_events_later(days, tmp_path):
    file = write_log(tmp_path / "facts.csv", [(name, "", "item 1", "view", FIRST_DAY) for name in UNICODE_USERS])
    form = RawFile(file.name, ",", ("who", "what"), header=True, quote='"')
    out = tmp_path / "warehouse"
    ingest(replace(source_of(), feeds=(Feed(file, form, Likes()),)), out)
    known = ids_of(out)
    ingest(source_of(days[0]), out)
    assert known.items() <= ids_of(out).items()
    assert external_events(out).height == ROWS
