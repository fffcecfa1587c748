"""Blocks: every line read is accounted for, whatever it holds and wherever a block is cut."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlrec.errors import InputError
from tasks import blocks
from tasks.blocks import BLOCK_BYTES, NOT_TEXT, UNCLOSED, Reader
from tasks.sources.registry import RawFile, text_lines

COLUMNS = ("a", "b", "c")
QUOTED = RawFile("log.csv", ",", COLUMNS, header=True, quote='"')
PLAIN = RawFile("log.tsv", "\t", COLUMNS, header=True)
BARE = RawFile("log.dat", "::", COLUMNS)
LINES = text_lines("log.txt")
HEADER = b"a,b,c\n"
SIZES = (1, 7, 64, BLOCK_BYTES)


def written(folder: Path, content: bytes | str, name: str = "log") -> Path:
    """A file of this content."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read(file: Path, form: RawFile, size: int = BLOCK_BYTES) -> tuple[dict[int, tuple], dict[int, str], dict[str, int]]:
    """By line: the records (their columns and fault) and their raw text; and the sums of the lines' counts."""
    records, raw = {}, {}
    counts: dict[str, int] = dict.fromkeys(("lines", "header", "blank", "continued"), 0)
    reader = Reader(file, form, size)
    for block in reader:
        assert block.first_line == counts["lines"] + 1
        assert block.lines == block.header + block.blank + block.continued + block.records.num_rows
        for row in block.records.to_pylist():
            line = row.pop("line")
            assert line not in records
            assert block.first_line <= line < block.first_line + block.lines
            records[line], raw[line] = tuple(row.values()), block.raw(line)
        for name in counts:
            counts[name] += getattr(block, name)
    assert reader.sha256 == hashlib.sha256(plain_bytes(file)).hexdigest()
    return dict(sorted(records.items())), raw, counts


def plain_bytes(file: Path) -> bytes:
    """Uncompressed."""
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def as_lines(content: bytes) -> list[bytes]:
    """The lines as an editor numbers them, without the mark at the start."""
    text = content.removeprefix(blocks.BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text.removesuffix(b"\n").split(b"\n")


PIECES = [
    b"a", b",", b",", b'"', b'""', b"\n", b"\r\n", b"\r", b"\0", b"\xef\xbb\xbf", b"\xff", "é".encode(), b" ", b"\x1f",
    b"1,2,3\n", b'"x,y","one\ntwo",z\n', b'1,"say ""no""",3\r\n', b'5" pipe,2,3\n', b'"a"b,2,3\n', b"1,2\n",
    b"1,2,3,4\n", b"\x01", b"\n\n", b'1,"",\n', b",,\n", b"NULL,nan,\n",
]  # fmt: skip


@settings(max_examples=50, deadline=None)
@example(pieces=[b'"a"b,2,3\n', b"\xff"])
@example(pieces=[b"\xff", b"\n", b",,\n"])
@example(pieces=[b"1,2\n", blocks.BYTE_ORDER_MARK, b"\n"])
@example(pieces=[b'x"y,"b,c\n', b"1,2,3\n"])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=25))
@pytest.mark.parametrize("form", [QUOTED, PLAIN, BARE, LINES], ids=["quoted", "plain", "double colon", "lines"])
def test_no_line_is_lost_and_blocks_of_any_size_tell_the_same(form, tmp_path_factory, pieces):
    separator = (form.separator or ",").encode()
    content = b"".join(piece.replace(b",", separator) for piece in [HEADER if form.header else b"7,8,9\n", *pieces])
    file = written(tmp_path_factory.mktemp("fuzz"), content)
    lines = as_lines(content)
    records, raw, counts = read(file, form)
    assert counts["lines"] == len(lines)
    assert counts["header"] == form.header
    for size in SIZES[:-1]:
        assert read(file, form, size) == (records, raw, counts)
    starts = [*records, len(lines) + 1]
    for line, after in zip(records, starts[1:], strict=True):
        span = raw[line].count("\n") + 1
        assert raw[line] == b"\n".join(lines[line - 1 : line - 1 + span]).decode("utf-8", "backslashreplace")
        between = b"".join(lines[line - 1 + span : after - 1])
        assert not between.decode("utf-8", "replace").strip()


def columns_of(folder: Path, content: bytes | str, form: RawFile = QUOTED) -> dict[int, tuple]:
    """By line, what a file of this content holds: the columns of records, the fault of others."""
    records, _, _ = read(written(folder, content), form)
    return {line: values[:-1] if values[-1] is None else values[-1] for line, values in records.items()}


QUOTES = {
    '1,"x, y",3\n': {2: ("1", "x, y", "3")},
    '1,"say ""no""",3\n': {2: ("1", 'say "no"', "3")},
    '1,"two\r\nlines",3\n4,5,6\n': {2: ("1", "two\nlines", "3"), 4: ("4", "5", "6")},
    '1,"three\n\nlines\n",3\n4,5,6\n': {2: ("1", "three\n\nlines\n", "3"), 6: ("4", "5", "6")},
    '1,"open,3\n4,5,6\n': {2: UNCLOSED, 3: ("4", "5", "6")},
    '1,"open,3\n4,5,6\n7,"shut",9\n': {2: UNCLOSED, 3: ("4", "5", "6"), 4: ("7", "shut", "9")},
    '1,5" pipe,3\n4,5,6\n': {2: UNCLOSED, 3: ("4", "5", "6")},
    '1,5"x7",3\n4,5,6\n': {2: ("1", '5"x7"', "3"), 3: ("4", "5", "6")},
    '1,"a"b,3\n4,5,6\n': {2: UNCLOSED, 3: ("4", "5", "6")},
    'x"y,"b,c\n4,5,6': {2: UNCLOSED, 3: ("4", "5", "6")},
}


@pytest.mark.parametrize(("content", "expected"), QUOTES.items(), ids=[repr(text) for text in QUOTES])
def test_quotes_hold_separators_and_line_ends_and_an_open_one_harms_its_own_line_only(tmp_path, content, expected):
    assert columns_of(tmp_path, f"a,b,c\n{content}") == expected


def test_a_quoted_record_that_is_no_text_is_not_repaired(tmp_path):
    found = columns_of(tmp_path, b'a,b,c\n1,"\xff\n",3\n4,"\xff",6\n7,8,9\n')
    assert found == {2: f"{NOT_TEXT} (byte 4 is 0xff)", 4: f"{NOT_TEXT} (byte 4 is 0xff)", 5: ("7", "8", "9")}


def test_a_quote_is_looked_for_so_far_and_no_further(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LONGEST_RECORD", 20)
    assert columns_of(tmp_path, HEADER + b'1,"' + b"x\n" * 20 + b'",3\n')[2] == UNCLOSED


FORMS = {
    "columns elsewhere": (b"c,x,a,b\n3,0,1,2\n", QUOTED, {2: ("1", "2", "3")}),
    "no last line end": (b"a,b,c\n1,2,3", QUOTED, {2: ("1", "2", "3")}),
    "mixed line ends": (b"a,b,c\r\n1,2,3\r\r\n4,5,6", QUOTED, {2: tuple("123"), 4: tuple("456")}),
    "byte order mark": (b"\xef\xbb\xbfa,b,c\n\xef\xbb\xbf1,2,3\n", QUOTED, {2: ("\ufeff1", "2", "3")}),
    "widths": (b"a,b,c\n1,2\n1,2,3,4\n", QUOTED, {2: "2 fields instead of 3", 3: "4 fields instead of 3"}),
    "null byte": (b"a,b,c\n1,\0,3\n", QUOTED, {2: ("1", "\0", "3")}),
    "empty fields": (b"a,b,c\n,,\nNULL,nan,\n", QUOTED, {2: ("", "", ""), 3: ("NULL", "nan", "")}),
    "not text": (b"a,b,c\n1,\xe9,3\n4,5,6\n", QUOTED, {2: f"{NOT_TEXT} (byte 3 is 0xe9)", 3: tuple("456")}),
    "no quotes": (b'a\tb\tc\n"1\t2"\t3\n', PLAIN, {2: ('"1', '2"', "3")}),
    "two characters": (b"1::2::3\n1:2::3\n", BARE, {1: tuple("123"), 2: "2 fields instead of 3"}),
    "lines": (b'{"a": "1,2"}\n \nx\x1fy\n', LINES, {1: ('{"a": "1,2"}',), 3: ("x\x1fy",)}),
    "latin-1": (b"\xe9\n", replace(LINES, encoding="latin-1"), {1: ("é",)}),
    "labels": (b"9\t1\t2\t3\n", replace(PLAIN, header=False, labels=("x", *COLUMNS)), {1: tuple("123")}),
    "optional": (b"a\tc\n1\t3\n", replace(PLAIN, optional=("b",)), {2: ("1", None, "3")}),
    "header over two lines": (b'"a\nx",b,c\n1,2,3\n', replace(QUOTED, columns=("a\nx", "b", "c")), {3: tuple("123")}),
}  # fmt: skip


@pytest.mark.parametrize(("content", "form", "expected"), FORMS.values(), ids=FORMS)
def test_a_form_says_how_lines_become_columns(tmp_path, content, form, expected):
    assert columns_of(tmp_path, content, form) == expected


REFUSED = {
    "no bytes": (b"", QUOTED, "the file is empty"),
    "only a mark": (b"\xef\xbb\xbf", QUOTED, "the file is empty"),
    "UTF-16": ("a,b,c\n".encode("utf-16"), QUOTED, "UTF-16 text, expected UTF-8"),
    "another separator": (b"a;b;c\n1;2;3\n", QUOTED, "separated by ';', expected ','"),
    "another name": (b"a,b,d\n1,2,3\n", QUOTED, "lacks c; line 1 reads: a,b,d"),
    "a name twice": (b"a,b,c,a\n1,2,3,4\n", QUOTED, "names a column twice"),
    "an unwanted header": (b"a::b::c\n1::2::3\n", BARE, "line 1 is a header line, and log.dat has none"),
    "no header": (b"1,2,3\n", QUOTED, "lacks a, b, c"),
    "another encoding": (b"\xe9\nx\n\x98\n", replace(LINES, encoding="cp1251"), "line 3 is not CP1251"),
}


@pytest.mark.parametrize(("content", "form", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("size", [8, BLOCK_BYTES])
def test_a_file_that_is_laid_out_otherwise_is_refused(tmp_path, content, form, words, size):
    file = written(tmp_path, content)
    with pytest.raises(InputError, match=words) as refusal:
        list(Reader(file, form, size))
    assert refusal.value.file == str(file)
    assert refusal.value.remedy


def test_a_header_alone_is_no_record(tmp_path):
    _, _, counts = read(written(tmp_path, b"a,b,c"), QUOTED)
    assert counts == {"lines": 1, "header": 1, "blank": 0, "continued": 0}


def test_a_compressed_file_reads_as_its_content(tmp_path):
    content = HEADER + b"1,2,3\n" * 100
    plain, packed = written(tmp_path, content), written(tmp_path, gzip.compress(content), "log.gz")
    assert read(plain, QUOTED) == read(packed, QUOTED, 64)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        list(Reader(packed, QUOTED))


def test_parquet_columns_are_found_by_name(tmp_path):
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"c": [3, 30], "a": [1, 10], "b": [None, "x"]}), file, row_group_size=1)
    form = replace(QUOTED, kind="parquet", separator="", quote="")
    records, raw, counts = read(file, form)
    assert records == {1: (1, None, 3, None), 2: (10, "x", 30, None)}
    assert raw[2] == "{'a': 10, 'b': 'x', 'c': 30}"
    assert counts == {"lines": 2, "header": 0, "blank": 0, "continued": 0}
    assert read(file, replace(form, columns=(*COLUMNS, "d"), optional=("d",)))[0][1] == (1, None, 3, None, None)
    with pytest.raises(InputError, match="lacks d"):
        read(file, replace(form, columns=("a", "d")))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError, match="Parquet file cannot be read"):
        read(file, form)
