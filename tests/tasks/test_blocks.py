"""Blocks: every line read is accounted for, whatever it holds and wherever a block is cut."""

import gzip
import hashlib
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
SIZES = (1, 7, 64, BLOCK_BYTES)


def written(folder: Path, content: bytes | str, name: str = "log") -> Path:
    """A file of this content."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def read(file: Path, form: RawFile, size: int = BLOCK_BYTES) -> tuple[dict[int, tuple], dict[int, str], dict[str, int]]:
    """By line: the records (their columns and fault) and their raw text; and the sums of the lines' counts."""
    records, raw = {}, {}
    counts = dict.fromkeys(("lines", "header", "blank", "continued"), 0)
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
    b"1,2,3\n", b'"x,y","one\ntwo",z\n', b'1,"say ""no""",3\r\n', b'5" pipe,2,3\n', b'"a"b,2,3\n', b"1,2\n", b"1,2,3,4\n",
    b"\n\n", b'1,"",\n', b",,\n", b"NULL,nan,\n",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@example(pieces=[b'"a"b,2,3\n', b"\xff"])
@example(pieces=[b'x"y,"b,c\n', b"1,2,3\n"])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=25))
@pytest.mark.parametrize("form", [QUOTED, PLAIN, BARE, LINES], ids=["quoted", "plain", "double colon", "lines"])
def test_no_line_is_lost_and_blocks_of_any_size_tell_the_same(form, tmp_path_factory, pieces):
    separator = (form.separator or ",").encode()
    content = b"".join(piece.replace(b",", separator) for piece in [b"a,b,c\n", *pieces])
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
