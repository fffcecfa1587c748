"""Staging: every line is accepted or rejected with a reason; a file that is wrong as a whole is refused."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.errors import InputError
from tasks import blocks, queries
from tasks.database import BrokenCheckError, connect
from tasks.sources import ML_100K
from tasks.sources.catalogue import Feed, movielens
from tasks.sources.registry import GENRES
from tasks.staging import Counts, Staged, stage
from tests.accepted import judged_of
from tests.tiny import write_tiny

RATINGS = ML_100K.layout("official").ratings

GOOD = "1\t1\t5\t875000000"


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """One database for all."""
    with connect(tmp_path_factory.mktemp("database")) as opened:
        yield opened


def staged_feed(feed: Feed, folder: Path, connection, most: float = 1.0, **options) -> tuple[Staged, pl.DataFrame]:
    """Stage a feed; its judged rows by line."""
    target = folder / "staged"
    shutil.rmtree(target, ignore_errors=True)
    staged = stage(feed, target, connection, max_reject_share=most, **options)
    return staged, judged_of(feed, connection)


def stage_text(text: str | bytes, folder: Path, connection, most: float = 1.0) -> tuple[Staged, pl.DataFrame]:
    """Stage these ratings."""
    file = folder / "u.data"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return staged_feed(Feed(file, RATINGS, movielens.Ratings()), folder, connection, most)


def rejects(staged: Staged) -> list[tuple]:
    """The rejected rows: file, line, column, reason, raw."""
    return pl.read_parquet(staged.rejects).sort("line").rows()


BAD_LINES = [
    ("1\t2\tnan\t875000000", "rating", "not a number"),
    ("1\t2\t\t875000000", "rating", "not a number"),
    ("1\t2\t0\t875000000", "rating", "outside 1 to 5"),
    ("1\t2\t6\t875000000", "rating", "outside 1 to 5"),
    ("1\t2\tinf\t875000000", "rating", "outside 1 to 5"),
    ("1\t2\t3.5\t875000000", "rating", "not in steps of 1 stars"),
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
def test_a_bad_line_is_rejected_with_place_and_reason(connection, tmp_path, bad, column, reason):
    # a blank line before it must not shift its number
    staged, rows = stage_text(f"{GOOD}\n\n{bad}\n", tmp_path, connection)
    assert staged.counts == Counts(lines=3, blank=1, read=2, rows=2, accepted=1, quarantined=1)
    assert rows.filter(pl.col("reason").is_null())["line"].to_list() == [1]
    assert rejects(staged) == [("u.data", 3, column, reason, bad)]


def test_an_accepted_line_is_typed(connection, tmp_path):
    _, rows = stage_text(" 007\t0012 \t4.0\t875000000.0\r\n", tmp_path, connection)
    assert rows.select("user_external", "item_external", "value").rows() == [("7", "12", 4.0)]
    assert rows["moment"].dt.epoch("s").to_list() == [875_000_000]
    assert rows["reason"].to_list() == [None]


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
    "binary": (replace_ratings(b"1\t2\t3\t\xff\xe9\n" * 50), "not UTF-8", "iconv"),
    "milliseconds": (to_milliseconds, "not milliseconds", "divide the timestamps by 1,000"),
    "half stars": (
        lambda raw: replace_ratings((raw / "u.data").read_text().replace("\t4\t", "\t4.5\t"))(raw),
        "not in steps of 1 stars",
        "column rating",
    ),
}


@pytest.mark.parametrize(("damage", "words", "remedy"), FAULTS.values(), ids=FAULTS)
def test_an_unusable_ratings_file_is_refused(connection, tmp_path, damage, words, remedy):
    raw = write_tiny(tmp_path / "raw")
    damage(raw)
    with pytest.raises(InputError, match=words) as refusal:
        staged_feed(Feed(raw / "u.data", RATINGS, movielens.Ratings()), tmp_path, connection, most=0.01)
    assert refusal.value.file == str(raw / "u.data")
    assert remedy in str(refusal.value.remedy)
    assert len(str(refusal.value).splitlines()) <= 5


def test_up_to_one_line_in_a_hundred_may_be_bad(connection, tmp_path):
    lines = [f"1\t{item}\t5\t875000000" for item in range(1, 200)]
    staged, _ = stage_text("\n".join([*lines, "bad", "worse"][1:]), tmp_path, connection, 0.01)
    assert (staged.counts.read, staged.counts.quarantined) == (200, 2)
    with pytest.raises(InputError, match=r"3 of 200 rows are rejected, more than 1%") as refusal:
        stage_text("\n".join([*lines, "bad", "worse", "worst"][2:]), tmp_path, connection, 0.01)
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


@settings(max_examples=40, deadline=None)
@given(
    lines=st.lists(line_text, min_size=1, max_size=30),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    size=st.sampled_from([7, 64, 1 << 20]),
)
def test_whatever_the_lines_none_is_lost(lines, end, size, connection, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks.Reader.__init__, "__defaults__", (size,))  # blocks of any size tell the same
        staged, rows = stage_text(end.join([GOOD, *lines]) + end, folder, connection)
    counts = staged.counts
    blank = sum(not line.strip() for line in lines)
    assert (counts.lines, counts.blank) == (len(lines) + 1, blank)
    assert counts.read == counts.accepted + counts.quarantined == len(rows)
    assert rows["line"].to_list() == [1, *(place for place, line in enumerate(lines, 2) if line.strip())]
    assert len(rejects(staged)) == counts.quarantined
    for _, number, _, _, text in rejects(staged):
        assert text == ["", GOOD, *lines][number]


def test_both_item_layouts_stage_alike(connection, tmp_path):
    raw = write_tiny(tmp_path / "raw")
    official, atomic = (ML_100K.layout(name).items for name in ("official", "atomic"))
    feed = Feed(raw / "u.item", official, movielens.FlaggedItems(genres=GENRES))
    columns = ("item_external", "title", "year", "categories")
    flagged = staged_feed(feed, tmp_path, connection)[1].select(columns)
    lines = ["\t".join(atomic.columns)]
    lines += [f"{item}\t{title}\t{year}\t{' '.join(genres)}" for item, title, year, genres in flagged.rows()]
    (tmp_path / "ml-100k.item").write_text("\n".join(lines))
    feed = Feed(tmp_path / "ml-100k.item", atomic, movielens.NamedItems(genre_separator=" "))
    assert staged_feed(feed, tmp_path, connection)[1].select(columns).equals(flagged)
    assert flagged.select("title", "year").row(0) == ("Señor Film 1", 1960)


def test_a_line_that_gets_lost_breaks_a_check(connection, tmp_path, monkeypatch):
    forgetful = property(lambda query: (queries.SQL / query.file).read_text() + "\nlimit 1")
    monkeypatch.setattr(movielens.Ratings, "text", forgetful, raising=False)
    with pytest.raises(BrokenCheckError, match="2 records from line 1, but 1 were staged"):
        stage_text(f"{GOOD}\n{GOOD[:-1]}1\n", tmp_path, connection)
