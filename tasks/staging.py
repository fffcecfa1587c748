"""Raw text -> staged Parquet: lines are numbered, split, typed and judged; none is lost, bad ones are kept apart."""

import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks import queries
from tasks.database import BrokenCheckError, assure, rows_of, run
from tasks.sources import RawFile, Source, open_raw

LINES_AT_ONCE = 1 << 17
MAX_REJECT_SHARE = 0.01
LOWEST_RATING, HIGHEST_RATING = 1, 5  # MovieLens README
EARLIEST, LATEST = 0, 4_102_444_800  # 1970-01-01 and 2100-01-01, seconds UTC
LINES = pa.schema([("line", pa.int64()), ("raw", pa.string())])
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SEPARATORS = {"\t": "TAB", "::": "'::'", ",": "','", ";": "';'", "|": "'|'", " ": "a space"}


@dataclass(frozen=True)
class LineCounts:
    """What became of a file's lines: lines = header + blank + read, read = accepted + quarantined."""

    lines: int
    header: int
    blank: int
    read: int
    accepted: int
    quarantined: int


@dataclass(frozen=True)
class Staged:
    """A raw file after staging: its name, its typed and judged rows, and the counts."""

    file: str
    rows: Path
    counts: LineCounts


def stage_ratings(source: Source, scratch: Path, connection: duckdb.DuckDBPyConnection) -> Staged:
    """The ratings: user_id, item_id, value, seconds."""
    return stage(
        queries.StageRatings,
        ("user_field", "item_field", "value_field", "seconds_field"),
        source.ratings,
        source.layout.ratings,
        scratch,
        connection,
        lowest=LOWEST_RATING,
        highest=HIGHEST_RATING,
        earliest=EARLIEST,
        latest=LATEST,
    )


def stage_items(source: Source, scratch: Path, connection: duckdb.DuckDBPyConnection) -> Staged:
    """The items: item_id, title, year_text, categories."""
    form = source.layout.items
    if source.layout.flags:
        return stage(
            queries.StageFlaggedItems,
            ("item_field", "title_field"),
            source.items,
            form,
            scratch,
            connection,
            flags_field=len(form.columns) - len(source.layout.flags) + 1,
            genres=source.layout.flags,
        )
    dated = len(form.columns) > len(("item", "title", "genres"))
    names = ("item_field", "title_field", *(("year_field",) if dated else ()), "genres_field")
    year = {} if dated else {"year_field": 0}
    separator = source.layout.genre_separator
    return stage(
        queries.StageNamedItems, names, source.items, form, scratch, connection, genre_separator=separator, **year
    )


def stage_knowledge(source: Source, scratch: Path, connection: duckdb.DuckDBPyConnection) -> tuple[Staged, Staged]:
    """The knowledge graph's links (item_id, entity) and triples (head, relation, tail); no rows when there is none."""
    triples = ("head_field", "relation_field", "tail_field")
    return (
        stage(queries.StageLinks, ("item_field", "entity_field"), source.links, source.links_form, scratch, connection),
        stage(queries.StageTriples, triples, source.knowledge, source.knowledge_form, scratch, connection),
    )


def stage(
    query: Callable[..., queries.StageLines],
    field_names: Iterable[str],
    file: Path | None,
    form: RawFile,
    scratch: Path,
    connection: duckdb.DuckDBPyConnection,
    **constants: object,
) -> Staged:
    """Number a file's lines and run its staging statement; without a file, over no lines.

    Raises:
        InputError: the file is unusable, or too many of its lines are rejected.
        BrokenCheckError: a line got lost.
    """
    lines, rows = scratch / f"{form.name}.lines.parquet", scratch / f"{form.name}.parquet"
    if file is None:
        width, positions = len(form.columns), tuple(range(1, len(form.columns) + 1))
        total = 0
        pq.write_table(LINES.empty_table(), lines)
    else:
        width, positions = find_fields(file, form)
        total = number_lines(file, form, lines)
    places = dict(zip(field_names, positions, strict=False))
    header_lines = int(form.header)
    statement = query(
        lines=lines,
        file_name=form.name if file is None else file.name,
        separator=form.separator,
        header_lines=header_lines,
        width=width,
        **places,
        **constants,
    )
    run(statement, rows, connection)
    assure(queries.LostLines(lines=lines, staged=rows, header_lines=header_lines), connection)
    (found,) = rows_of(queries.LineCounts(lines=lines, staged=rows, header_lines=header_lines), connection, 1)
    counts = LineCounts(**found)
    if counts.lines != total or counts.read != counts.accepted + counts.quarantined:
        raise BrokenCheckError(f"{statement.file_name}: {total} lines were written, staging counts {counts}")
    if file is not None:
        refuse_many_rejects(file, form, rows, counts, connection)
    return Staged(statement.file_name, rows, counts)


def refuse_many_rejects(
    file: Path, form: RawFile, rows: Path, counts: LineCounts, connection: duckdb.DuckDBPyConnection
) -> None:
    """Stop when the file as a whole is wrong, not some of its lines.

    Raises:
        InputError: no line can be used, or more than `MAX_REJECT_SHARE` cannot.
    """
    if not counts.read:
        raise InputError("the file holds no rows", file=file, remedy="hand over the complete file")
    if counts.quarantined <= MAX_REJECT_SHARE * counts.read:
        return
    (most,) = rows_of(queries.RejectCounts(staged=rows), connection, 1)
    reason, column = str(most["reason"]), most["rejected_column"]
    shape = f"{len(form.columns)} columns ({', '.join(form.columns[:4])}) separated by {SEPARATORS[form.separator]}"
    if column is None and reason.startswith("repeats"):
        remedy = "remove the repeated lines; was the file appended to itself?"
    elif column is None:
        remedy = f"check the separator: {form.name} has {shape}"
    elif reason.startswith("after 2100"):
        remedy = "divide the timestamps by 1,000"
    else:
        remedy = f"correct the column {column}; {form.name} has {shape}"
    raise InputError(
        f"{counts.quarantined:,} of {counts.read:,} lines are rejected, more than {MAX_REJECT_SHARE:.0%}; "
        f"most often: {reason} (first in line {most['first_line']})",
        file=file,
        column=None if column is None else str(column),
        rows=counts.quarantined,
        remedy=remedy,
    )


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
