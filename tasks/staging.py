"""Raw files -> staged Parquet: each record typed and judged by its source's SQL; none is lost, bad ones kept apart."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks.blocks import NOT_TEXT, Block, Reader, shown
from tasks.database import BrokenCheckError, execute, rows_of
from tasks.queries import StagedCounts, StagedLines, StagedRejects
from tasks.sources.catalogue.bundle import Feed
from tasks.sources.registry import MAX_REJECT_SHARE, RawFile

WORKERS = 2
ROW_GROUP = 16_384  # small, so that a bucket's rows are read without the others'
REJECTS = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("column", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
    ]
)
BUCKET = """(
    ord({key}[-1]) * 7919::bigint + ord({key}[-2]) * 104729::bigint + ord({key}[-3]) * 1299709::bigint
    + ord({key}[1]) * 31 + ord({key}[2]) * 961 + length({key}) + 2000000
) % 65521 % {buckets}"""
"""Where a user's rows go. Arithmetic on characters: DuckDB's own hash differs between its versions. The constant
outweighs the -1 that ord gives for a character that is not there; characters go up to 1,114,111, too many for int32."""


@dataclass(frozen=True)
class Counts:
    """What became of a file: lines = header + blank + continued + read; rows = accepted + quarantined + dropped.

    `read` counts records. A record gives one row, or several where the source packs them, such as a list of items.
    """

    lines: int = 0
    header: int = 0
    blank: int = 0
    continued: int = 0
    read: int = 0
    rows: int = 0
    accepted: int = 0
    quarantined: int = 0
    dropped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Reason:
    """Why rows were rejected: the column (None: the whole record), how many, the first line."""

    rejected_column: str | None
    reason: str
    rejected: int
    first_line: int


@dataclass(frozen=True)
class Staged:
    """A raw file after staging: a folder of judged parts, a Parquet file of its rejects, the counts, its SHA-256."""

    name: str
    table: str
    parts: Path
    rejects: Path
    counts: Counts
    reasons: tuple[Reason, ...]
    sha256: str

    @property
    def rows(self) -> str:
        """The parts, as DuckDB and Polars read them."""
        return str(self.parts / "*.parquet")


def stage(
    feed: Feed,
    folder: Path,
    connection: duckdb.DuckDBPyConnection,
    *,
    buckets: int = 1,
    max_reject_share: float = MAX_REJECT_SHARE,
) -> Staged:
    """Read a file block by block and run its staging statement on each; parts and rejects land in `folder`.

    Raises:
        InputError: the file is unusable, or too many of its rows are rejected.
        BrokenCheckError: a record got lost.
    """
    parts = folder / "parts"
    parts.mkdir(parents=True)
    reader = Reader(feed.file, feed.form)
    blocks = iter(reader)
    total, reasons = Tally(), Counter[tuple[str | None, str]]()
    lock, first = threading.Lock(), dict[tuple[str | None, str], int]()
    rejects = folder / "rejects.parquet"
    with pq.ParquetWriter(rejects, REJECTS, compression="zstd") as quarantine, Workers(connection) as workers:

        def work(cursor: duckdb.DuckDBPyConnection) -> None:
            while True:
                with lock:
                    block = next(blocks, None)
                if block is None:
                    return
                part = parts / f"{block.first_line:012d}.parquet"
                found = judge(feed, block, part, cursor, buckets)
                with lock:
                    total.add(block, found)
                    for row in found:
                        if row["reason"] is not None:
                            key = (row["rejected_column"], row["reason"])
                            reasons[key] += row["rows"]
                            first[key] = min(first.get(key, row["first_line"]), row["first_line"])
                    write_rejects(feed, block, part, cursor, quarantine)

        workers.run(work)
    counts = total.counts()
    if counts.lines != counts.header + counts.blank + counts.continued + counts.read:
        raise BrokenCheckError(f"{feed.name}: the lines do not add up: {counts}")
    if counts.rows != counts.accepted + counts.quarantined + sum(counts.dropped.values()):
        raise BrokenCheckError(f"{feed.name}: the rows do not add up: {counts}")
    told = tuple(
        Reason(column, reason, number, first[column, reason])
        for (column, reason), number in sorted(
            reasons.items(), key=lambda item: (-item[1], item[0][1], str(item[0][0]))
        )
    )
    staged = Staged(feed.name, feed.statement.table, parts, rejects, counts, told, reader.sha256)
    refuse_many_rejects(feed, staged, max_reject_share)
    return staged


@dataclass
class Tally:
    """Counts that grow block by block."""

    sums: Counter[str] = field(default_factory=Counter[str])
    dropped: Counter[str] = field(default_factory=Counter[str])

    def add(self, block: Block, found: list[dict[str, Any]]) -> None:
        """Add one block's lines and the groups of its staged rows."""
        for name in ("lines", "header", "blank", "continued"):
            self.sums[name] += getattr(block, name)
        self.sums["read"] += block.records.num_rows
        for row in found:
            self.sums["rows"] += row["rows"]
            if row["reason"] is not None:
                self.sums["quarantined"] += row["rows"]
            elif row["filter"] is not None:
                self.dropped[row["filter"]] += row["rows"]
            else:
                self.sums["accepted"] += row["rows"]

    def counts(self) -> Counts:
        """As a frozen record."""
        return Counts(**self.sums, dropped=dict(sorted(self.dropped.items())))


class Workers:
    """Some threads, each with its own cursor; the first failure of one ends all."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.cursors = [connection.cursor() for _ in range(WORKERS)]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for cursor in self.cursors:
            cursor.close()

    def run(self, work: Any) -> None:
        """Call `work` with each cursor, at the same time."""
        with ThreadPoolExecutor(len(self.cursors)) as pool:
            for future in [pool.submit(work, cursor) for cursor in self.cursors]:
                future.result()


def judge(
    feed: Feed, block: Block, part: Path, cursor: duckdb.DuckDBPyConnection, buckets: int
) -> list[dict[str, Any]]:
    """Write the block's staged rows as a Parquet file; return them counted by reason and filter.

    Raises:
        BrokenCheckError: a record has no row.
    """
    key = feed.statement.bucket_by
    bucket = BUCKET.format(key=key, buckets=buckets) if key and buckets > 1 else "0"
    order = "order by bucket" if key and buckets > 1 else ""
    cursor.register("block", block.records)
    place = "" if feed.statement.with_place else ", 0 as place"
    execute(
        f"copy (select *, coalesce({bucket}, 0)::smallint as bucket, {feed.number} as feed{place} "
        f"from (\n{feed.statement.text}\n) {order}) "
        f"to $part (format parquet, compression lz4_raw, row_group_size {ROW_GROUP}, dictionary_size_limit 1)",
        cursor,
        part,
        **feed.statement.parameters,
        part=str(part),
    )
    found = rows_of(StagedCounts(staged=part), cursor)
    several = feed.statement.several
    lines = rows_of(StagedLines(staged=part), cursor)[0]["lines"] if several else sum(row["rows"] for row in found)
    if lines != block.records.num_rows:
        raise BrokenCheckError(
            f"{feed.name}: {block.records.num_rows} records from line {block.first_line}, but {lines} were staged"
        )
    return found


def write_rejects(
    feed: Feed, block: Block, part: Path, cursor: duckdb.DuckDBPyConnection, target: pq.ParquetWriter
) -> None:
    """Add the block's rejected rows to the quarantine, each with the record as it stands in the file."""
    rows = rows_of(StagedRejects(staged=part), cursor)
    if rows:
        told = [{"file": feed.name, **row, "raw": block.raw(row["line"])} for row in rows]
        target.write_table(pa.Table.from_pylist(told, schema=REJECTS))


def refuse_many_rejects(feed: Feed, staged: Staged, most: float) -> None:
    """Stop when the file as a whole is wrong, not some of its lines.

    Raises:
        InputError: no line can be used, or more than `most` of the rows cannot.
    """
    counts, form = staged.counts, feed.form
    if not counts.read:
        raise InputError("the file holds no rows", file=feed.file, remedy="hand over the complete file")
    if counts.quarantined <= most * counts.rows:
        return
    worst = staged.reasons[0]
    raise InputError(
        f"{counts.quarantined:,} of {counts.rows:,} rows are rejected, more than {most:.0%}; "
        f"most often: {worst.reason} (first in line {worst.first_line})",
        file=feed.file,
        column=worst.rejected_column,
        rows=counts.quarantined,
        remedy=remedy_for(worst, form),
    )


def remedy_for(worst: Reason, form: RawFile) -> str:
    """What to do about the most frequent fault."""
    shape = f"the columns {', '.join(form.labels or form.required)} separated by {shown(form.separator)}"
    if worst.reason.startswith(NOT_TEXT):
        return f"convert the file, for example: iconv -f LATIN1 -t UTF-8 {form.name}"
    if "milliseconds" in worst.reason:
        return "divide the timestamps by 1,000, or say that they are milliseconds"
    if worst.rejected_column is not None:
        return f"correct the column {worst.rejected_column}" + (f"; {form.name} has {shape}" if form.separator else "")
    return f"check the separator: {form.name} has {shape}" if form.separator else f"look at line {worst.first_line}"
