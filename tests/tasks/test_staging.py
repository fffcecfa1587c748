"""Staging: every line is accepted or rejected with a reason; a file that is wrong as a whole is refused."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.errors import InputError
from tasks import queries
from tasks.database import BrokenCheckError, connect
from tasks.sources import ML_100K, Source, fetch
from tasks.staging import LineCounts, Staged, stage_items, stage_knowledge, stage_ratings
from tests.tiny import write_tiny

GOOD = "1\t1\t5\t875000000"


@pytest.fixture(scope="module")
def tiny_source(tmp_path_factory) -> Source:
    """The tiny world's raw files, read only."""
    return fetch("ml-100k", write_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """One database for all."""
    with connect(tmp_path_factory.mktemp("database")) as opened:
        yield opened


@pytest.fixture
def patient(monkeypatch) -> None:
    """However many lines are rejected, the file is staged."""
    monkeypatch.setattr("tasks.staging.MAX_REJECT_SHARE", 1.0)


def stage_text(text: str | bytes, source: Source, folder: Path, connection) -> tuple[Staged, pl.DataFrame]:
    """Stage these ratings."""
    file = folder / "u.data"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    staged = stage_ratings(replace(source, ratings=file), folder, connection)
    return staged, pl.read_parquet(staged.rows).sort("line")


BAD_LINES = [
    ("1\t2\tnan\t875000000", "rating", "not a number"),
    ("1\t2\t\t875000000", "rating", "not a number"),
    ("1\t2\t0\t875000000", "rating", "outside 1 to 5"),
    ("1\t2\t6\t875000000", "rating", "outside 1 to 5"),
    ("1\t2\tinf\t875000000", "rating", "outside 1 to 5"),
    ("1\t2\t3.5\t875000000", "rating", "not a whole star"),
    ("1\t2\t3\t-5", "timestamp", "before 1970"),
    ("1\t2\t3\t875000000000", "timestamp", "after 2100: seconds are expected, not milliseconds"),
    ("1\t2\t3\tyesterday", "timestamp", "not a whole number of seconds"),
    ("1.5\t2\t3\t875000000", "user", "not a positive whole number"),
    ("0\t2\t3\t875000000", "user", "not a positive whole number"),
    ("99999999999999999999\t2\t3\t875000000", "user", "not a positive whole number"),
    ("1\tx\t3\t875000000", "item", "not a positive whole number"),
    ("1\t2\t3", None, "3 fields instead of 4"),
    ("1\t2\t3\t875000000\t5", None, "5 fields instead of 4"),
]


@pytest.mark.parametrize(
    ("bad", "column", "reason"), BAD_LINES, ids=[line.replace("\t", ",") for line, *_ in BAD_LINES]
)
def test_a_bad_line_is_rejected_with_place_and_reason(tiny_source, connection, patient, tmp_path, bad, column, reason):
    # a blank line before it must not shift its number
    staged, rows = stage_text(f"{GOOD}\n\n{bad}\n", tiny_source, tmp_path, connection)
    assert staged.counts == LineCounts(lines=3, header=0, blank=1, read=2, accepted=1, quarantined=1)
    good, rejected = rows.select("file", "line", "rejected_column", "reason", "raw").rows()
    assert good == ("u.data", 1, None, None, None)
    assert rejected == ("u.data", 3, column, reason, bad)


def test_an_accepted_line_is_typed(tiny_source, connection, tmp_path):
    _, rows = stage_text(" 007\t0012 \t4.0\t875000000.0\r\n", tiny_source, tmp_path, connection)
    assert rows.select("user_id", "item_id", "value", "seconds").rows() == [(7, 12, 4.0, 875_000_000)]
    assert rows["reason"].to_list() == rows["raw"].to_list() == [None]


def test_the_second_copy_of_a_rating_is_rejected_a_change_of_mind_is_not(tiny_source, connection, patient, tmp_path):
    later, revised = GOOD.replace("875000000", "875000001"), GOOD.replace("\t5\t", "\t2\t")
    _, rows = stage_text("\n".join([GOOD, later, GOOD, revised]), tiny_source, tmp_path, connection)
    assert rows["reason"].to_list() == [None, None, "repeats line 1", None]
    assert rows["raw"].to_list() == [None, None, GOOD, None]


def replace_ratings(text: str | bytes):
    """A fault: u.data holds this instead."""

    def damage(raw: Path) -> None:
        (raw / "u.data").write_bytes(text.encode() if isinstance(text, str) else text)

    return damage


def separate(separator: str):
    """A fault: u.data is separated otherwise."""

    def damage(raw: Path) -> None:
        (raw / "u.data").write_text((raw / "u.data").read_text().replace("\t", separator))

    return damage


def insert(line: bytes):
    """A fault: one line in the middle of u.data."""

    def damage(raw: Path) -> None:
        lines = (raw / "u.data").read_bytes().splitlines()
        lines.insert(6, line)
        (raw / "u.data").write_bytes(b"\n".join(lines))

    return damage


def double(raw: Path) -> None:
    """A fault: u.data appended to itself."""
    (raw / "u.data").write_text(2 * (raw / "u.data").read_text())


def to_milliseconds(raw: Path) -> None:
    """A fault: times in milliseconds."""
    (raw / "u.data").write_text((raw / "u.data").read_text().replace("\n", "000\n"))


FAULTS = {
    "empty": (replace_ratings(""), "is empty", "complete file"),
    "blank": (replace_ratings("\n\n\n"), "no rows", "complete file"),
    "comma": (separate(","), "separated by ',', expected TAB", "with TAB between"),
    "double colon": (separate("::"), "separated by '::', expected TAB", "with TAB between"),
    "unknown separator": (separate("/"), "1 fields instead of 4", "separator"),
    "header": (
        lambda raw: replace_ratings("user\titem\trating\tat\n" + (raw / "u.data").read_text())(raw),
        "header line, and u.data has none",
        "delete line 1",
    ),
    "latin-1": (insert("1\t2\t3\t87500000\xe9".encode("latin-1")), "line 7 is not UTF-8", "iconv"),
    "binary": (replace_ratings(bytes(range(256)) * 50), "not UTF-8", "iconv"),
    "milliseconds": (to_milliseconds, "not milliseconds", "divide the timestamps by 1,000"),
    "doubled": (double, "repeats", "appended to itself"),
    "half stars": (
        lambda raw: replace_ratings((raw / "u.data").read_text().replace("\t4\t", "\t4.5\t"))(raw),
        "not a whole star",
        "column rating",
    ),
}


@pytest.mark.parametrize(("damage", "words", "remedy"), FAULTS.values(), ids=FAULTS)
def test_an_unusable_ratings_file_is_refused(connection, tmp_path, damage, words, remedy):
    raw = write_tiny(tmp_path / "raw")
    damage(raw)
    with pytest.raises(InputError, match=words) as refusal:
        stage_ratings(fetch("ml-100k", raw), tmp_path, connection)
    assert refusal.value.file == str(raw / "u.data")
    assert remedy in str(refusal.value.remedy)
    assert len(str(refusal.value).splitlines()) <= 5


def test_up_to_one_line_in_a_hundred_may_be_bad(tiny_source, connection, tmp_path):
    lines = [f"1\t{item}\t5\t875000000" for item in range(1, 200)]
    staged, _ = stage_text("\n".join([*lines, "bad", "worse"][1:]), tiny_source, tmp_path, connection)
    assert (staged.counts.read, staged.counts.quarantined) == (200, 2)
    with pytest.raises(InputError, match=r"3 of 200 lines are rejected, more than 1%") as refusal:
        stage_text("\n".join([*lines, "bad", "worse", "worst"][2:]), tiny_source, tmp_path, connection)
    assert refusal.value.rows == 3


line_text = st.one_of(
    st.builds(
        "\t".join,
        st.tuples(
            st.sampled_from(["1", "2", "007", "", "x", "-1"]),
            st.sampled_from(["1", "2", "80", "1e3"]),
            st.sampled_from(["1", "5", "4.0", "9", "nan", ""]),
            st.sampled_from(["875000000", "875000001", "-1", "1e12", ""]),
        ),
    ),
    st.text(alphabet="1\t,;'\" \0é∞", max_size=12),
)


@settings(max_examples=25, deadline=None)
@given(lines=st.lists(line_text, min_size=1, max_size=30), end=st.sampled_from(["\n", "\r\n"]))
def test_whatever_the_lines_none_is_lost(lines, end, tiny_source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch, connect(folder) as opened:
        patch.setattr("tasks.staging.MAX_REJECT_SHARE", 1.0)
        staged, rows = stage_text(end.join([GOOD, *lines]) + end, tiny_source, folder, opened)
    counts = staged.counts
    blank = sum(not line.strip(" ") for line in lines)
    assert (counts.lines, counts.blank) == (len(lines) + 1, blank)
    accepted, rejected = (rows.filter(pl.col("reason").is_null() == good) for good in (True, False))
    assert (accepted.height, rejected.height) == (counts.accepted, counts.quarantined)
    assert counts.read == counts.accepted + counts.quarantined == len(rows)
    for number, text in rejected.select("line", "raw").iter_rows():
        assert text == ["", GOOD, *lines][number]


def test_both_item_layouts_stage_alike(tiny_source, connection, tmp_path):
    flagged = pl.read_parquet(stage_items(tiny_source, tmp_path, connection).rows).sort("item_id")
    layout = ML_100K.layout("atomic")
    lines = ["\t".join(layout.items.columns)]
    lines += [
        f"{item}\t{title[:-7]}\t{title[-5:-1]}\t{' '.join(genres)}"
        for item, title, genres in flagged.select("item_id", "title", "categories").iter_rows()
    ]
    (tmp_path / "ml-100k.item").write_text("\n".join(lines))
    atomic = replace(tiny_source, layout=layout, items=tmp_path / "ml-100k.item")
    named = pl.read_parquet(stage_items(atomic, tmp_path, connection).rows).sort("item_id")
    assert named["categories"].to_list() == flagged["categories"].to_list()
    assert named["item_id"].to_list() == flagged["item_id"].to_list()
    assert (named["title"] + " (" + named["year_text"] + ")").to_list() == flagged["title"].to_list()
    assert flagged["title"][0] == "Señor Film 1 (1960)"


def test_without_a_knowledge_graph_its_tables_are_empty_and_typed(tiny_source, connection, tmp_path):
    links, knowledge = stage_knowledge(replace(tiny_source, knowledge=None, links=None), tmp_path, connection)
    full = stage_knowledge(tiny_source, tmp_path, connection)
    for empty, filled in zip((links, knowledge), full, strict=True):
        assert empty.counts == LineCounts(0, 0, 0, 0, 0, 0)
        assert filled.counts.accepted == filled.counts.lines - 1 > 0
        assert pl.read_parquet_schema(empty.rows) == pl.read_parquet_schema(filled.rows)


def test_a_line_that_gets_lost_breaks_a_check(tiny_source, connection, tmp_path, monkeypatch):
    forgetful = property(lambda query: (queries.SQL / query.file).read_text() + "\nlimit 1")
    monkeypatch.setattr(queries.StageRatings, "text", forgetful, raising=False)
    with pytest.raises(BrokenCheckError, match="lost_lines"):
        stage_text(f"{GOOD}\n{GOOD[:-1]}1\n", tiny_source, tmp_path, connection)
