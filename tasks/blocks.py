"""A raw file as blocks of numbered records: each line read is accounted for, and a bad one never hides the next.

Blocks are cut at line ends and parsed by Arrow; DuckDB then judges their content. Lines are counted apart from the
parser, so that a parser that loses or invents a record is caught. Files may be larger than memory.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from jaxtyping import Bool, Integer

from rlrec.errors import InputError
from tasks.sources.rawfiles import digest_of_raw, open_raw
from tasks.sources.registry import RawFile

BLOCK_BYTES = 16 << 20
LONGEST_RECORD = 1 << 20  # bytes: a quote that is not closed within them is a stray one
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")
LONGEST_HEADER = 100  # lines
SPARE = (b"\x01", b"\x02", b"\x03", b"\x04")  # no blanks, and text hardly holds them: in place of several characters
SEPARATORS = {"\t": "TAB", "::": "'::'", ",": "','", ";": "';'", "|": "'|'", " ": "a space"}
NEWLINE = ord("\n")
BLANKS = (b" ", b"\t", b"\v", b"\f", b"\r")  # of ASCII, but for the line end
SHOWN = 120
UNCLOSED = "a quote is not closed"
NOT_TEXT = "not UTF-8 text"
csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class Block:
    """Consecutive lines; `records` has a row per record: the form's columns as text, `line`, and `fault` or null.

    lines = header + blank + continued + records: a record that goes on over a line end has one line number.
    """

    records: pa.Table
    first_line: int
    lines: int
    header: int = 0
    blank: int = 0
    continued: int = 0
    text: bytes = field(default=b"", repr=False)
    spans: dict[int, int] = field(default_factory=dict)

    def raw(self, line: int) -> str:
        """The record that starts in this line as it stands in the file, undecodable bytes as escapes."""
        if not self.text:
            (row,) = self.records.slice(line - self.first_line, 1).drop_columns(["line", "fault"]).to_pylist()
            return str(row)
        place = line - self.first_line
        start, end = self.starts[place], self.starts[place + self.spans.get(line, 1)] - 1
        return self.text[start:end].decode("utf-8", "backslashreplace")

    @cached_property
    def starts(self) -> Integer[np.ndarray, "N"]:
        """Where each line starts in the text, and where the next one would."""
        return np.concatenate(([0], line_ends(self.text, 0) + 1))


class Reader:
    """Iterate over one file's blocks; after the last one `sha256` is that of its uncompressed bytes."""

    def __init__(self, file: Path, form: RawFile, size: int = BLOCK_BYTES) -> None:
        self.file, self.form, self.size = file, form, size
        self.sha256 = ""

    def __iter__(self) -> Iterator[Block]:
        """The blocks, in order.

        Raises:
            InputError: the file is missing, empty, damaged, or laid out in another way.
        """
        return self._columnar() if self.form.kind == "parquet" else self._textual()

    def _textual(self) -> Iterator[Block]:
        digest, line, held, layout = hashlib.sha256(), 1, b"", None
        with open_raw(self.file) as stream:
            while True:
                chunk = stream.read(self.size)
                digest.update(chunk)
                if line == 1 and layout is None and not held:
                    chunk = start_of(chunk, self.file)
                text, held = whole_lines(held + chunk, final=not chunk)
                if text and self.form.encoding != "utf-8":
                    text = transcoded(text, self.form, self.file, line)
                if text:
                    header = 0
                    if layout is None:
                        layout = Layout.of(text, self.form, self.file)
                        header = layout.header
                    block, rest = layout.block(text, line, header, final=not chunk)
                    line, held = line + block.lines, rest + held
                    yield block
                if not chunk:
                    break
        if layout is None:
            raise InputError("the file is empty", file=self.file, remedy="hand over the complete file")
        self.sha256 = digest.hexdigest()

    def _columnar(self) -> Iterator[Block]:
        try:
            source = pq.ParquetFile(self.file)
            present = place_columns(source.schema_arrow.names, self.form, self.file)
            line = 1
            for batch in source.iter_batches(columns=[name for name in self.form.columns if name in present]):
                rows = pa.Table.from_batches([batch])
                columns = {
                    name: rows[column] if column in present else pa.nulls(len(rows), pa.string())
                    for name, column in zip(self.form.names, self.form.columns, strict=True)
                }
                yield Block(numbered(columns, np.arange(line, line + len(rows))), line, len(rows))
                line += len(rows)
            self.sha256 = digest_of_raw(self.file)
        except (pa.ArrowInvalid, OSError) as fault:
            raise InputError(
                f"the Parquet file cannot be read ({str(fault).splitlines()[0]})",
                file=self.file,
                remedy="write it again",
            ) from fault


def start_of(chunk: bytes, file: Path) -> bytes:
    """The first bytes without their byte order mark.

    Raises:
        InputError: the mark is that of UTF-16.
    """
    if chunk.startswith(WIDE_MARKS):
        raise InputError(
            "the file is UTF-16 text, expected UTF-8",
            file=file,
            remedy=f"convert the file, for example: iconv -f UTF-16 -t UTF-8 {file.name}",
        )
    return chunk.removeprefix(BYTE_ORDER_MARK)


def whole_lines(text: bytes, *, final: bool) -> tuple[bytes, bytes]:
    """The complete lines, each ended by a newline whatever ended it before, and the bytes after them."""
    if b"\r" in text:
        held = b"\r" if text.endswith(b"\r") and not final else b""
        text = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
    if final:
        return (text if not text or text.endswith(b"\n") else text + b"\n"), b""
    cut = text.rfind(b"\n") + 1
    return text[:cut], text[cut:]


def line_ends(text: bytes, start: int) -> Integer[np.ndarray, "N"]:
    """Where the newlines are, from `start` on."""
    return np.flatnonzero(np.frombuffer(text, np.uint8)[start:] == NEWLINE) + start


def without_lines(text: memoryview, left_out: Bool[np.ndarray, "N"], starts: Integer[np.ndarray, "N"]) -> bytes:
    """The text without some of its lines, copied stretch by stretch."""
    change = np.flatnonzero(np.diff(left_out, prepend=True, append=True))
    bounds = np.append(starts, len(text))[change].tolist()
    return b"".join(text[begin:end] for begin, end in zip(bounds[::2], bounds[1::2], strict=True))


def transcoded(text: bytes, form: RawFile, file: Path, line: int) -> bytes:
    """The text in UTF-8.

    Raises:
        InputError: it is none in the form's encoding.
    """
    try:
        return text.decode(form.encoding).encode("utf-8")
    except UnicodeDecodeError as fault:
        raise InputError(
            f"line {line + text.count(NEWLINE, 0, fault.start)} is not {form.encoding.upper()} text",
            file=file,
            remedy="say which encoding the file has",
        ) from fault


def place_columns(header: Sequence[str], form: RawFile, file: Path) -> dict[str, int]:
    """Where each of the form's columns stands in the file; an optional one may be missing.

    Raises:
        InputError: a column is missing, or is there twice.
    """
    missing = [name for name in form.required if name not in header]
    if missing:
        found = form.separator.join(header)
        raise InputError(
            f"the header line lacks {', '.join(missing)}; line 1 reads: {found[:SHOWN]}",
            file=file,
            column=missing[0],
            remedy=f"let line 1 be: {' '.join(form.required)} (separated by {shown(form.separator)})",
        )
    twice = next((name for name in form.columns if list(header).count(name) > 1), None)
    if twice is not None:
        raise InputError(
            "the header names a column twice", file=file, column=twice, remedy="rename or remove one of the two"
        )
    return {name: list(header).index(name) for name in form.columns if name in header}


def shown(separator: str) -> str:
    """A separator as people call it."""
    return SEPARATORS.get(separator, repr(separator))


def numbered(columns: dict[str, pa.ChunkedArray], lines: np.ndarray) -> pa.Table:
    """The columns with line numbers and no faults."""
    return pa.table({**columns, "line": pa.array(lines, pa.int64()), "fault": pa.nulls(len(lines), pa.string())})


@dataclass(frozen=True)
class Layout:
    """How a file's lines are split: judged by its first line, the same for all of them."""

    form: RawFile
    width: int
    places: dict[str, int]
    header: int = 0

    @staticmethod
    def of(text: bytes, form: RawFile, file: Path) -> "Layout":
        """Judge the first line.

        Raises:
            InputError: its separator or its header is another one.
        """
        if form.kind == "lines":
            return Layout(form, 1, {"raw": 0})
        header = header_lines(text, form) if form.header else 0
        first = b"\n".join(text.split(b"\n", header or 1)[: header or 1]).decode("utf-8", "replace")
        fields = split_record(first, form.separator, form.quote) or [first]
        if not fits(fields, form):
            for other in (name for name in SEPARATORS if name != form.separator):
                if fits(split_record(first, other, form.quote) or [first], form):
                    raise InputError(
                        f"the columns are separated by {shown(other)}, expected {shown(form.separator)}",
                        file=file,
                        rows=1,
                        remedy=f"write {form.name} with {shown(form.separator)} between the columns",
                    )
        if form.header:
            return Layout(form, len(fields), place_columns(fields, form, file), header)
        if form.labels:
            return Layout(form, len(form.labels), place_columns(form.labels, form, file))
        if form.numeric and fits(fields, form) and not any(part.strip().isdigit() for part in fields):
            raise InputError(
                f"line 1 is a header line, and {form.name} has none: {first[:SHOWN]}", file=file, remedy="delete line 1"
            )
        present = [name for name in form.columns if name not in form.optional]
        return Layout(form, len(present), {name: i for i, name in enumerate(present)})

    def block(self, text: bytes, first_line: int, header: int, *, final: bool) -> tuple[Block, bytes]:
        """Parse these lines; bytes of a record that the text does not end come back as the rest."""
        start = 0
        for _ in range(header):
            start = text.index(b"\n", start) + 1
        odd: dict[int, tuple[int, list[str] | str]] = {}
        end = len(text)
        first, ends = first_line + header, line_ends(text, start)
        if self.form.quote and text.find(self.form.quote.encode(), start) >= 0:
            odd, end = self.records_with_odd_quotes(text, ends, start, first, final=final)
        rest, text = text[end:], text[:end]
        ends = ends[: np.searchsorted(ends, end)]
        starts = np.concatenate(([start], ends[:-1] + 1)) if len(ends) else ends
        lines, numbers = header + len(ends), np.arange(first, first + len(ends))
        empty = starts == ends
        for line, (span, _) in odd.items():
            empty[line - first : line - first + span] = False
        left_out, blank = empty.copy(), int(empty.sum())
        for line, (span, _) in odd.items():
            left_out[line - first : line - first + span] = True
        body, numbers = without_lines(memoryview(text)[start:], left_out, starts - start), numbers[~left_out]
        table, faults, spaces = self.parse(body, numbers)
        good = {line: found for line, (_, found) in odd.items() if not isinstance(found, str)}
        faults |= {line: found for line, (_, found) in odd.items() if isinstance(found, str)}
        records = pa.concat_tables([table, *self.singles(good), *self.faulty(faults)])
        if self.form.trimmed and any(blank in text for blank in BLANKS):
            for place, name in enumerate(self.form.names):
                if self.form.columns[place] not in self.places:
                    continue
                records = records.set_column(place, name, pc.call_function("ascii_trim_whitespace", [records[name]]))
        continued = sum(span - 1 for span, _ in odd.values())
        spans = {line: span for line, (span, _) in odd.items() if span > 1}
        block = Block(records, first_line, lines, header, blank + spaces, continued, text, spans)
        return block, rest

    def parse(self, body: bytes, numbers: np.ndarray) -> tuple[pa.Table, dict[int, str], int]:
        """Records of these lines, faults by line, and how many lines are blanks only."""
        separator = self.form.separator.encode()
        if self.form.kind == "lines" or len(separator) > 1:
            spare = next((mark for mark in SPARE if mark not in body), SPARE[0])
            body = body if self.form.kind == "lines" else body.replace(separator, spare)
            separator = spare
        bad: list[tuple[int, int, str]] = []

        def refuse(row: pa_csv.InvalidRow) -> str:
            bad.append((row.number - 1, row.actual_columns, row.text))
            return "skip"

        names = [f"f{i}" for i in range(self.width)]
        used = {column: names[place] for column, place in self.places.items()}
        try:
            if not body.isascii():
                body.decode("utf-8")  # else Arrow tells stderr about each refused row that is none
            found = (
                pa_csv.read_csv(
                    pa.BufferReader(BYTE_ORDER_MARK + body if body.startswith(BYTE_ORDER_MARK) else body),
                    read_options=pa_csv.ReadOptions(
                        column_names=names, use_threads=False, block_size=len(body) + len(BYTE_ORDER_MARK) + 1
                    ),
                    parse_options=pa_csv.ParseOptions(
                        delimiter=separator.decode(),
                        quote_char=self.form.quote or False,
                        ignore_empty_lines=False,
                        invalid_row_handler=refuse,
                    ),
                    convert_options=pa_csv.ConvertOptions(
                        column_types={name: pa.string() for name in names},
                        include_columns=list(used.values()),
                        strings_can_be_null=False,
                    ),
                )
                if body
                else None
            )
        except (pa.ArrowInvalid, UnicodeDecodeError):
            return self.parse_singly(body, numbers, separator.decode())
        rows = 0 if found is None else found.num_rows
        if rows + len(bad) != len(numbers) or any("\n" in text for *_, text in bad):
            return self.parse_singly(body, numbers, separator.decode())
        faults = {
            int(numbers[place]): f"{width} fields instead of {self.width}" for place, width, text in bad if text.strip()
        }
        kept = np.delete(numbers, [place for place, *_ in bad]) if bad else numbers
        columns = self.columns(found, rows, used)
        table, spaces = numbered(columns, kept), len(bad) - len(faults)
        if self.form.kind == "lines" and rows:
            full = pc.call_function("not_equal", [pc.call_function("utf8_trim_whitespace", [table["raw"]]), ""])
            table = table.filter(full)
            spaces += rows - table.num_rows
        return table, faults, spaces

    def columns(self, found: pa.Table | None, rows: int, used: dict[str, str]) -> dict[str, pa.ChunkedArray]:
        """The form's columns under the names that SQL calls them by; null where the file has no such column."""
        return {
            name: found[used[column]] if found is not None and column in used else pa.nulls(rows, pa.string())
            for name, column in zip(self.form.names, self.form.columns, strict=True)
        }

    def parse_singly(self, body: bytes, numbers: np.ndarray, separator: str) -> tuple[pa.Table, dict[int, str], int]:
        """The same for lines among which one confuses the fast parser: each on its own, so that none harms another."""
        records: dict[int, list[str]] = {}
        faults: dict[int, str] = {}
        spaces = 0
        for line, part in zip(numbers.tolist(), body.split(b"\n"), strict=False):
            found = self.fields(part, separator)
            blank = not part.decode("utf-8", "replace").strip()
            if blank and (self.form.kind == "lines" or isinstance(found, str)):
                spaces += 1
            elif isinstance(found, str):
                faults[line] = found
            else:
                records[line] = found
        tables = self.singles(records)
        return (tables[0] if tables else self.empty()), faults, spaces

    def fields(self, record: bytes, separator: str) -> list[str] | str:
        """The fields of one record, or what is wrong with it."""
        try:
            text = record.decode("utf-8")
        except UnicodeDecodeError as fault:
            return f"{NOT_TEXT} (byte {fault.start + 1} is {record[fault.start]:#04x})"
        found = [text] if self.form.kind == "lines" else split_record(text, separator, self.form.quote)
        if found is None:
            return UNCLOSED
        return found if len(found) == self.width else f"{len(found)} fields instead of {self.width}"

    def singles(self, records: dict[int, list[str]]) -> list[pa.Table]:
        """Records that were split one by one, as a table; none for none."""
        if not records:
            return []
        columns = {
            name: pa.array(
                [fields[self.places[column]] if column in self.places else None for fields in records.values()],
                pa.string(),
            )
            for name, column in zip(self.form.names, self.form.columns, strict=True)
        }
        return [numbered(columns, np.fromiter(records, np.int64))]

    def faulty(self, faults: dict[int, str]) -> list[pa.Table]:
        """Records of which only the fault is known; none for none."""
        if not faults:
            return []
        nulls = {name: pa.nulls(len(faults), pa.string()) for name in self.form.names}
        lines, texts = pa.array(list(faults), pa.int64()), pa.array(list(faults.values()), pa.string())
        return [pa.table({**nulls, "line": lines, "fault": texts})]

    def empty(self) -> pa.Table:
        """No records."""
        return numbered({name: pa.array([], pa.string()) for name in self.form.names}, np.array([], np.int64))

    def records_with_odd_quotes(
        self, text: bytes, ends: Integer[np.ndarray, "N"], start: int, first: int, *, final: bool
    ) -> tuple[dict[int, tuple[int, list[str] | str]], int]:
        """Records whose quotes the fast parser would understand in another way, or only by what follows.

        A line with an odd number of quotes is one record with the next such line, if that has the right width. A line
        with quotes inside of a field, such as 5"x7", is a record of its own.
        Returns line -> (lines it spans, its fields or its fault), and where the text ends that can be parsed now.
        """
        data = np.frombuffer(text, np.uint8)
        starts = np.concatenate(([start], ends[:-1] + 1))
        quotes = np.flatnonzero(data[start:] == ord(self.form.quote)) + start
        before = np.searchsorted(quotes, starts)
        counts = np.diff(before, append=len(quotes))
        odd = np.flatnonzero(counts % 2).tolist()
        found: dict[int, tuple[int, list[str] | str]] = {}
        place, stop = 0, len(text)
        while place < len(odd):
            here = odd[place]
            there = odd[place + 1] if place + 1 < len(odd) else None
            if there is None and not final and len(text) - starts[here] < LONGEST_RECORD:
                stop = int(starts[here])
                break
            record, fields = b"" if there is None else text[starts[here] : ends[there]], None
            if len(record) < LONGEST_RECORD:
                fields = split_record(record.decode("utf-8", "replace"), self.form.separator, self.form.quote)
            if there is not None and fields is not None and len(fields) == self.width:
                found[first + here] = (there - here + 1, self.fields(record, self.form.separator))
                place += 2
            else:
                found[first + here] = (1, UNCLOSED)
                place += 1
        taken = {line + i for line, (span, _) in found.items() for i in range(span)}
        outside = np.ones(len(quotes), np.int64)  # the first quote of a line opens a field: what is before it counts
        outside[::2] = -1
        if odd:
            outside *= np.repeat(1 - before % 2 * 2, counts)
        for line in self.lines_with_inner_quotes(data, quotes, outside, starts):
            if starts[line] < stop and first + line not in taken:
                found[first + line] = (1, self.fields(text[starts[line] : ends[line]], self.form.separator))
        return found, stop

    def lines_with_inner_quotes(
        self, data: np.ndarray, quotes: np.ndarray, outside: np.ndarray, starts: np.ndarray
    ) -> list[int]:
        """Which lines hold a quote that opens none of their fields, closes none, and is not doubled."""
        outer = np.zeros(256, dtype=bool)
        outer[[NEWLINE, ord(self.form.separator), ord(self.form.quote)]] = True
        beside = data[quotes + outside]  # the text ends with a line end, which is before its start too
        inner = quotes[~outer[beside]]
        return np.unique(np.searchsorted(starts, inner, "right") - 1).tolist()


def split_record(record: str, separator: str, quote: str) -> list[str] | None:
    """The fields of one record; None where its quotes do not close, or it is more than one."""
    if not quote or len(separator) > 1:
        return record.split(separator)
    try:
        rows = list(csv.reader(io.StringIO(record, newline=""), delimiter=separator, quotechar=quote, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def header_lines(text: bytes, form: RawFile) -> int:
    """How many lines the header spans: more than one where a quoted name holds line ends."""
    end = 0
    for lines in range(1, LONGEST_HEADER + 1):
        end = text.find(b"\n", end) + 1
        if not end:
            break
        if not form.quote or text.count(form.quote.encode(), 0, end) % 2 == 0:
            return lines
    return 1


def fits(fields: Sequence[str], form: RawFile) -> bool:
    """Whether a first line split like this could be the form's."""
    if form.header:
        return set(form.required) <= set(fields)
    return len(fields) == len(form.labels or form.required)
