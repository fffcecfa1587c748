"""Raw files -> staged parts: each record typed and judged by its source's SQL; none is lost, bad ones kept apart."""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks.blocks import NOT_TEXT, Block, Reader, shown
from tasks.database import BrokenCheckError
from tasks.parts import NAMED, Keys, write_part
from tasks.sources.catalogue.bundle import Feed
from tasks.sources.registry import MAX_REJECT_SHARE, RawFile

WORKERS = 2
ROWS_AT_ONCE = 1 << 20
BATCH = 1 << 17  # rows that DuckDB hands over at a time; larger ones it copies more than once
TEXT, TEXTS = pa.string(), pa.list_(pa.string())
MOMENT = pa.timestamp("us", "UTC")
STAGED: dict[str, dict[str, pa.DataType]] = {
    "events": {
        "user_external": TEXT, "item_external": TEXT, "session_external": TEXT, "behaviour": TEXT,
        "value": pa.float64(), "moment": MOMENT,
    },
    "slates": {
        "request_external": TEXT, "user_external": TEXT, "moment": MOMENT, "position": pa.int16(),
        "item_external": TEXT, "reward": pa.float64(), "propensity": pa.float64(), "propensity_kind": TEXT,
        "logging_policy": TEXT, "logging_policy_version": TEXT, "candidates": TEXTS,
    },
    "items": {"item_external": TEXT, "title": TEXT, "year": pa.int16(), "categories": TEXTS},
    "triples": {
        "head_kind": TEXT, "head_external": TEXT, "relation": TEXT, "tail_kind": TEXT, "tail_external": TEXT,
        "moment": MOMENT,
    },
    "links": {"item_external": TEXT, "entity_external": TEXT},
    "identifiers": {"item_external": TEXT, "authority": TEXT, "identifier": TEXT},
    "dialogues": {
        "dialogue_external": TEXT, "turn": pa.int32(), "role": TEXT, "text": TEXT, "items": TEXTS,
    },
}  # fmt: skip
"""The columns that a staging statement gives for each table (sql/staging/README.md)."""
PLACED = {"line": pa.int64(), "feed": pa.int32(), "place": pa.int32()}
ACCEPTED = pc.field("reason").is_null() & pc.field("filter").is_null()
GROUP = ["rejected_column", "reason", "filter"]
REJECTS = pa.schema(
    [
        ("file", pa.string()),
        ("line", pa.int64()),
        ("column", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
    ]
)


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
    """A raw file after staging: a folder of its accepted rows, a Parquet file of its rejects, the counts, its SHA-256.

    Tables that are kept by user lie in parts (`tasks/parts.py`), others in Parquet files.
    """

    name: str
    table: str
    parts: Path
    rejects: Path
    counts: Counts
    reasons: tuple[Reason, ...]
    sha256: str


def stage(
    feed: Feed,
    folder: Path,
    connection: duckdb.DuckDBPyConnection,
    *,
    buckets: int = 1,
    keys: Keys | None = None,
    max_reject_share: float = MAX_REJECT_SHARE,
) -> Staged:
    """Read a file block by block and run its staging statement on each; parts and rejects land in `folder`.

    Raises:
        InputError: the file is unusable, or too many of its rows are rejected.
        BrokenCheckError: a record got lost.
    """
    parts = folder / "parts"
    parts.mkdir(parents=True)
    reader, keys = Reader(feed.file, feed.form), keys or Keys()
    blocks = iter(reader)
    total, lock = Tally(), threading.Lock()
    rejects = folder / "rejects.parquet"
    with pq.ParquetWriter(rejects, REJECTS, compression="zstd") as quarantine, Workers(connection) as workers:

        def work(cursor: duckdb.DuckDBPyConnection) -> None:
            while True:
                with lock:
                    block = next(blocks, None)
                if block is None:
                    return
                for place, rows in enumerate(judged(feed, block, cursor)):
                    accepted = accepted_rows(feed, rows)
                    keep(feed, accepted, parts, f"{block.first_line:012d}-{place:03d}", buckets, keys, connection)
                    with lock:
                        total.add_rows(rows)
                        write_rejects(feed, block, rows, quarantine)
                with lock:
                    total.add_lines(block)

        workers.run(work)
    pa.default_memory_pool().release_unused()  # what comes next needs it
    counts = total.counts()
    if counts.lines != counts.header + counts.blank + counts.continued + counts.read:
        raise BrokenCheckError(f"{feed.name}: the lines do not add up: {counts}")
    if counts.rows != counts.accepted + counts.quarantined + sum(counts.dropped.values()):
        raise BrokenCheckError(f"{feed.name}: the rows do not add up: {counts}")
    staged = Staged(feed.name, feed.statement.table, parts, rejects, counts, total.told(), reader.sha256)
    refuse_many_rejects(feed, staged, max_reject_share)
    return staged


@dataclass
class Tally:
    """Counts that grow block by block."""

    sums: Counter[str] = field(default_factory=Counter[str])
    dropped: Counter[str] = field(default_factory=Counter[str])
    reasons: Counter[tuple[str | None, str]] = field(default_factory=Counter[tuple[str | None, str]])
    first_lines: dict[tuple[str | None, str], int] = field(default_factory=dict[tuple[str | None, str], int])

    def add_lines(self, block: Block) -> None:
        """Add a block's lines."""
        for name in ("lines", "header", "blank", "continued"):
            self.sums[name] += getattr(block, name)
        self.sums["read"] += block.records.num_rows

    def add_rows(self, judged: pa.Table) -> None:
        """Add judged rows, by what became of them."""
        self.sums["rows"] += len(judged)
        refused = judged.filter(~ACCEPTED).group_by(GROUP).aggregate([("line", "count"), ("line", "min")])
        for group in refused.to_pylist():
            number = group["line_count"]
            if group["reason"] is None:
                self.dropped[group["filter"]] += number
            else:
                key, line = (group["rejected_column"], group["reason"]), int(group["line_min"] or 0)
                self.reasons[key] += number
                self.first_lines[key] = min(self.first_lines.get(key, line), line)
        self.sums["quarantined"] = self.reasons.total()
        self.sums["accepted"] = self.sums["rows"] - self.sums["quarantined"] - self.dropped.total()

    def counts(self) -> Counts:
        """As a frozen record."""
        return Counts(**self.sums, dropped=dict(sorted(self.dropped.items())))

    def told(self) -> tuple[Reason, ...]:
        """Why rows were rejected, the most frequent reason first."""
        ordered = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0][1], str(item[0][0])))
        return tuple(Reason(*key, number, self.first_lines[key]) for key, number in ordered)


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


def judged(feed: Feed, block: Block, cursor: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """The block's rows, some at a time: the columns of the feed's table, line, place, and what became of each.

    Raises:
        BrokenCheckError: a record has no row.
    """
    statement, lines, several = feed.statement, 0, list[Any]()
    place = "" if statement.with_place else ", 0 as place"
    cursor.register("block", block.records)
    found = cursor.sql(f"select *{place} from (\n{statement.text}\n)", params=statement.parameters)
    for rows in tables(found.to_arrow_reader(BATCH)):
        if statement.several:
            several.append(np.unique(rows["line"].to_numpy()))
        lines += len(rows)
        yield rows
    if several:
        lines = len(np.unique(np.concatenate(several)))
    if lines != block.records.num_rows:
        raise BrokenCheckError(
            f"{feed.name}: {block.records.num_rows} records from line {block.first_line}, but {lines} were staged"
        )


def tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together, as many as reach `ROWS_AT_ONCE`."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def accepted_rows(feed: Feed, judged: pa.Table) -> pa.Table:
    """The accepted ones of judged rows, typed as their table promises."""
    rows = judged.filter(ACCEPTED) if any(judged[name].null_count < len(judged) for name in GROUP[1:]) else judged
    columns = STAGED[feed.statement.table]
    numbered = rows.select([*columns, "line", "place"]).append_column(
        "feed", pa.repeat(pa.scalar(feed.number, pa.int32()), len(rows))
    )
    return numbered.select([*columns, *PLACED]).cast(pa.schema(list((columns | PLACED).items())))


def keep(
    feed: Feed, rows: pa.Table, parts: Path, stem: str, buckets: int, keys: Keys, connection: duckdb.DuckDBPyConnection
) -> None:
    """Write accepted rows, if there are any."""
    if not len(rows):
        return
    if feed.statement.table in NAMED:
        write_part(feed.statement.table, rows, parts, stem, buckets, keys, connection)
    else:
        pq.write_table(rows, parts / f"{stem}.parquet", compression="lz4")


def write_rejects(feed: Feed, block: Block, judged: pa.Table, target: pq.ParquetWriter) -> None:
    """Add rejected rows to the quarantine, each with the record as it stands in the file."""
    rows = rejects_of(judged)
    if rows:
        told = [{"file": feed.name, **row, "raw": block.raw(row["line"])} for row in rows]
        target.write_table(pa.Table.from_pylist(told, schema=REJECTS))


def rejects_of(judged: pa.Table) -> list[dict[str, Any]]:
    """Line, column and reason of the rejected rows, in order."""
    if judged["reason"].null_count == len(judged):
        return []
    bad = judged.filter(pc.field("reason").is_valid()).select(["line", "rejected_column", "reason"])
    return (
        bad.rename_columns(["line", "column", "reason"])
        .sort_by([("line", "ascending"), ("column", "ascending")])
        .to_pylist()
    )


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
