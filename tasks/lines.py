"""A raw text file as numbered lines in Parquet: its separator, header, encoding and line ends judged on the way."""

import itertools
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks.sources import RawFile, open_raw

LINES_AT_ONCE = 1 << 17
LINES = pa.schema([("line", pa.int64()), ("raw", pa.string())])
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SEPARATORS = {"\t": "TAB", "::": "'::'", ",": "','", ";": "';'", "|": "'|'", " ": "a space"}


def find_fields(file: Path, form: RawFile) -> tuple[int, tuple[int, ...]]:
    """How many fields a line has, and at which places (from 1) the form's columns are; judged by the first line.

    Raises:
        InputError: the file is empty, its separator or its header line is another one.
    """
    with open_raw(file) as stream:
        start = stream.readline()
    if not start:
        raise InputError("the file is empty", file=file, remedy="hand over the complete file")
    first = decode(start.removeprefix(BYTE_ORDER_MARK), form, file, 1).rstrip("\r\n")
    fields = first.split(form.separator)
    others = [separator for separator in SEPARATORS if separator != form.separator]
    wrong_separator = next((other for other in others if fits(first.split(other), form)), None)
    if not fits(fields, form) and wrong_separator:
        raise InputError(
            f"the columns are separated by {SEPARATORS[wrong_separator]}, expected {SEPARATORS[form.separator]}",
            file=file,
            rows=1,
            remedy=f"write {form.name} with {SEPARATORS[form.separator]} between the columns",
        )
    if form.header:
        missing = [name for name in form.columns if name not in fields]
        if missing:
            raise InputError(
                f"the header line lacks {', '.join(missing)}; line 1 reads: {first[:120]}",
                file=file,
                column=missing[0],
                remedy=f"let line 1 be: {' '.join(form.columns)} (separated by {SEPARATORS[form.separator]})",
            )
        return len(fields), tuple(fields.index(name) + 1 for name in form.columns)
    if not any(field.strip().isdigit() for field in fields) and fits(fields, form):
        raise InputError(
            f"line 1 is a header line, and {form.name} has none: {first[:120]}", file=file, remedy="delete line 1"
        )
    return len(form.columns), tuple(range(1, len(form.columns) + 1))


def fits(fields: list[str], form: RawFile) -> bool:
    """Whether a first line split like this could be the form's."""
    return set(form.columns) <= set(fields) if form.header else len(fields) == len(form.columns)


def number_lines(file: Path, form: RawFile, target: Path) -> int:
    """Write the file's lines, numbered from 1, as Parquet, a block at a time; return how many.

    Not DuckDB's own reader: it skips blank lines and then miscounts, and stops at mixed line ends.

    Raises:
        InputError: bytes that are no text in the form's encoding.
    """
    count = 0
    with open_raw(file) as stream, pq.ParquetWriter(target, LINES, compression="zstd") as writer:
        while block := list(itertools.islice(stream, LINES_AT_ONCE)):
            if not count:
                block[0] = block[0].removeprefix(BYTE_ORDER_MARK)
            numbers = pa.array(range(count + 1, count + 1 + len(block)), pa.int64())
            writer.write_batch(pa.record_batch([numbers, texts(block, form, file, count + 1)], schema=LINES))
            count += len(block)
    return count


def texts(block: list[bytes], form: RawFile, file: Path, first_line: int) -> pa.Array:
    """The block's lines as text, without line ends. Arrow checks UTF-8 at once; a culprit is sought line by line."""
    block = [line.rstrip(b"\r\n") for line in block]
    if form.encoding == "utf-8":
        with suppress(pa.ArrowInvalid):
            return pa.array(block, pa.binary()).cast(pa.string())
    return pa.array([decode(line, form, file, first_line + i) for i, line in enumerate(block)], pa.string())


def decode(line: bytes, form: RawFile, file: Path, number: int) -> str:
    """One line as text.

    Raises:
        InputError: it is none in the form's encoding.
    """
    try:
        return line.decode(form.encoding)
    except UnicodeDecodeError as fault:
        raise InputError(
            f"line {number} is not {form.encoding.upper()} text (byte {fault.start + 1} is {line[fault.start]:#04x})",
            file=file,
            remedy=f"convert the file, for example: iconv -f LATIN1 -t {form.encoding.upper()} {file.name}",
        ) from fault
