"""A dry run: how the first records of each file would be understood, and which of them rejected. It writes nothing."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from tasks.blocks import Block, Reader
from tasks.database import connect
from tasks.parts import days_of
from tasks.queries import Own
from tasks.sources.infer import MOST_SHOWN, are_numbers, clock_of, sample, written
from tasks.sources.mapping import Mapping
from tasks.staging import Counts, Feed, Tally, accepted_rows, judged, rejects_of

RECORDS = 100_000
BLOCK_BYTES = 1 << 20
TYPED_RECORDS = 1_000
DAY_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True)
class Reject:
    """A record that would be rejected: where, why (column None: the whole record), and as it stands in the file."""

    line: int
    column: str | None
    reason: str
    raw: str


@dataclass(frozen=True)
class Column:
    """A column that plays a role, and what its values look like."""

    role: str
    name: str
    type: str


@dataclass(frozen=True)
class FilePreview:
    """One file. `rows` are columns of its `table` in sql/staging/README.md; `complete`: all of it was read."""

    name: str
    table: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    counts: Counts
    reasons: dict[tuple[str | None, str], int]
    rejects: tuple[Reject, ...]
    complete: bool
    days: frozenset[date]

    @property
    def reject_share(self) -> float:
        """Of the rows that were read."""
        return self.counts.quarantined / self.counts.rows if self.counts.rows else 0.0


@dataclass(frozen=True)
class Preview:
    """Every file, and what to look at before ingesting them."""

    files: tuple[FilePreview, ...]
    warnings: tuple[str, ...]


def preview(mapping: Mapping, rows: int = 10, records: int = RECORDS) -> Preview:
    """Read about so many records of each file; keep the first `rows` of those accepted and of those rejected.

    Raises:
        InputError: a file or column is missing, or a file cannot be read as the mapping says.
    """
    with TemporaryDirectory() as scratch, connect(Path(scratch)) as connection:
        files = tuple(preview_file(feed, connection, rows, records) for feed in mapping.feeds())
    return Preview(files, (*unusable(files, mapping.max_reject_share), *gaps(files)))


def preview_file(feed: Feed, connection: duckdb.DuckDBPyConnection, rows: int, records: int) -> FilePreview:
    """The start of one file.

    Raises:
        InputError: the file cannot be read as the mapping says.
    """
    tally, complete = Tally(), True
    first: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    days: set[date] = set()
    columns: tuple[Column, ...] = ()
    for block in Reader(feed.file, feed.form, BLOCK_BYTES):
        if tally.sums["read"] >= records:
            complete = False
            break
        columns = columns or columns_of(feed, block)
        tally.add_lines(block)
        for found in judged(feed, block, connection):
            tally.add_rows(found)
            accepted = accepted_rows(feed, found)
            first += accepted.sort_by("line").slice(0, rows - len(first)).drop_columns(["feed"]).to_pylist()
            days |= days_of(accepted)
            rejects += [
                Reject(row["line"], row["column"], row["reason"], block.raw(row["line"]))
                for row in rejects_of(found)[: rows - len(rejects)]
            ]
    return FilePreview(
        feed.name,
        feed.statement.table,
        columns,
        tuple(first),
        tally.counts(),
        dict(tally.reasons.most_common()),
        tuple(rejects),
        complete,
        frozenset(days),
    )


def columns_of(feed: Feed, block: Block) -> tuple[Column, ...]:
    """The columns that play a role."""
    statement = feed.statement
    if not isinstance(statement, Own):
        return ()
    if feed.form.kind == "lines":
        values = sample(feed.file).columns
    else:
        start = block.records.slice(0, TYPED_RECORDS)
        values = {
            name: [written(value) for value in start[f"{role}_raw"].to_pylist()]
            for role, name in zip(statement.roles, statement.columns, strict=True)
        }
    return tuple(
        Column(role, name, type_of(values.get(name, [])))
        for role, name in zip(statement.roles, statement.columns, strict=True)
    )


def type_of(values: Sequence[str]) -> str:
    """What the values look like."""
    filled = [value.strip() for value in values if value.strip()]
    if not filled:
        return "empty"
    if are_numbers(filled):
        return "whole number" if all(value.lstrip("+-").isdigit() for value in filled) else "number"
    return "time" if clock_of(filled) else "text"


def unusable(files: Iterable[FilePreview], most: float) -> list[str]:
    """A warning for each file that would be refused, or gives nothing."""
    told: list[str] = []
    for file in files:
        if not file.counts.accepted:
            told.append(f"{file.name}: no record would be accepted")
        elif file.reject_share > most:
            told.append(
                f"{file.name}: {file.reject_share:.1%} would be rejected, more than {most:.0%}: it would be refused"
            )
    return told


def gaps(files: Sequence[FilePreview]) -> list[str]:
    """Warnings of days without a file between dated files, or without an event between others."""
    dated: dict[str, set[date]] = defaultdict(set)
    for file in files:
        if found := DAY_IN_NAME.search(file.name):
            with suppress(ValueError):  # digits that are no date
                day = date(int(found[1]), int(found[3]), int(found[4]))
                dated[f"{file.name[: found.start()]}*{file.name[found.end() :]}"].add(day)
    told = [
        f"{name}: there is no file of {shown(missing)}"
        for name, days in dated.items()
        if (missing := missing_days(days))
    ]
    missing = missing_days({day for file in files for day in file.days})
    if missing and all(file.complete for file in files):
        told.append(f"there is no event on {shown(missing)}")
    return told


def shown(days: Sequence[date]) -> str:
    """The first ones, and how many more."""
    more = f", and {len(days) - MOST_SHOWN:,} more days" if len(days) > MOST_SHOWN else ""
    return ", ".join(map(str, days[:MOST_SHOWN])) + more


def missing_days(days: Iterable[date]) -> list[date]:
    """The days between the first and the last that are not among them."""
    there = set(days)
    if not there:
        return []
    first, last = min(there), max(there)
    return [day for i in range((last - first).days) if (day := first + timedelta(days=i)) not in there]
