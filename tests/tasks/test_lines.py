"""Lines: numbered as an editor numbers them, whatever their ends; the first line tells separator and header."""

from pathlib import Path

import polars as pl
import pytest

from rlrec.errors import InputError
from tasks import lines
from tasks.lines import decode, find_fields, number_lines
from tasks.sources import ML_100K

RATINGS = ML_100K.layout("official").ratings
ITEMS = ML_100K.layout("official").items
ATOMIC = ML_100K.layout("atomic").ratings
GOOD = "1\t1\t5\t875000000"


def written(folder: Path, content: bytes) -> Path:
    """A file of these bytes."""
    (folder / "raw").write_bytes(content)
    return folder / "raw"


def numbered(folder: Path, content: bytes, form=RATINGS) -> list[tuple[int, str]]:
    """The content's lines."""
    count = number_lines(written(folder, content), form, folder / "lines.parquet")
    rows = pl.read_parquet(folder / "lines.parquet").rows()
    assert len(rows) == count
    return rows


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\nc\r\n", ["a", "b", "c"]),
        (b"a\n\n\nb\n", ["a", "", "", "b"]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"", []),
    ],
    ids=["plain", "no end", "mixed ends", "blank", "byte order mark", "empty"],
)
@pytest.mark.parametrize("at_once", [1, 2, 1 << 17])
def test_lines_are_numbered_from_one(tmp_path, monkeypatch, content, expected, at_once):
    monkeypatch.setattr(lines, "LINES_AT_ONCE", at_once)
    assert numbered(tmp_path, content) == list(enumerate(expected, start=1))


def test_each_form_has_its_encoding(tmp_path):
    assert numbered(tmp_path, "Señor\n".encode("latin-1"), ITEMS) == [(1, "Señor")]
    assert numbered(tmp_path, "Señor\n".encode()) == [(1, "Señor")]


def test_a_line_in_another_encoding_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LINES_AT_ONCE", 2)
    with pytest.raises(InputError, match=r"line 3 is not UTF-8 text \(byte 3 is 0xf1\)") as refusal:
        numbered(tmp_path, b"a\nb\nSe\xf1or\n")
    assert "iconv -f LATIN1 -t UTF-8" in str(refusal.value.remedy)
    assert decode(b"abc", RATINGS, tmp_path, 1) == "abc"


def test_columns_are_found_by_name_or_by_place(tmp_path):
    assert find_fields(written(tmp_path, GOOD.encode()), RATINGS) == (4, (1, 2, 3, 4))
    turned = "\t".join([*reversed(ATOMIC.columns), "note:token"])
    assert find_fields(written(tmp_path, turned.encode()), ATOMIC) == (5, (4, 3, 2, 1))


@pytest.mark.parametrize(
    ("first", "form", "words"),
    [
        ("", RATINGS, "is empty"),
        (GOOD.replace("\t", ","), RATINGS, "separated by ',', expected TAB"),
        ("user\titem\trating\tat", RATINGS, "header line, and u.data has none"),
        (",".join(ATOMIC.columns), ATOMIC, "separated by ','"),
        ("user_id:token\titem_id:token\tstars:float\ttimestamp:float", ATOMIC, "lacks rating:float"),
        ("196\t242\t3\t881250949", ATOMIC, "lacks user_id:token"),
    ],
    ids=["empty", "separator", "header", "header separator", "header name", "no header"],
)
def test_a_wrong_first_line_is_refused_with_a_remedy(tmp_path, first, form, words):
    file = written(tmp_path, first.encode())
    with pytest.raises(InputError, match=words) as refusal:
        find_fields(file, form)
    assert refusal.value.file == str(file)
    assert refusal.value.remedy


def test_a_first_line_with_a_wrong_number_of_fields_is_left_to_staging(tmp_path):
    assert find_fields(written(tmp_path, b"1 2 3"), RATINGS) == (4, (1, 2, 3, 4))
