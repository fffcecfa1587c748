"""Run a Query in DuckDB -> Parquet, in bounded memory; run the checks."""

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from rlrec.errors import InputError
from tasks.artifacts import no_space
from tasks.queries import Query

MEMORY_LIMIT = "1GB"
LARGEST_THREADS = 4
SHOWN_ROWS = 5
UNITS = {"M": 1, "G": 1_000, "T": 1_000_000}
LEAST_MEGABYTES = 256


class BrokenCheckError(RuntimeError):
    """A check in `sql/checks` found rows: a promise of the warehouse does not hold."""


def connect(
    scratch: Path, memory_limit: str = MEMORY_LIMIT, *, share: int = 1, part: float = 1.0
) -> duckdb.DuckDBPyConnection:
    """An in-memory database with a memory limit that spills to `scratch`; times are UTC whatever the machine's zone.

    With a `share`, it is one of so many at work: each takes its share of the memory and of the threads. With a `part`,
    the rest of the limit is for what the process holds beside the database.

    Raises:
        InputError: the limit is no size.
    """
    threads = max(1, min(os.cpu_count() or 1, LARGEST_THREADS) // share)
    limit = f"{int(megabytes(memory_limit) * part) // share}MB"
    connection = duckdb.connect(
        config={"memory_limit": limit, "threads": threads, "temp_directory": str(scratch / "spill")}
    )
    connection.execute("set TimeZone = 'UTC'")
    return connection


def megabytes(size: str) -> int:
    """A size such as 512MB or 1.5 GB, in megabytes.

    Raises:
        InputError: it is none, or too small to work with.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:[.][0-9]+)?)\s*([MGT])i?B\s*", size, re.IGNORECASE)
    found = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if found < LEAST_MEGABYTES:
        raise InputError(f"{size!r} is no memory limit", remedy=f"give one such as 1GB, at least {LEAST_MEGABYTES}MB")
    return found


def execute(
    statement: str, connection: duckdb.DuckDBPyConnection, written: Path, /, **parameters: Any
) -> duckdb.DuckDBPyConnection:
    """Run a statement that writes the file `written`.

    Raises:
        InputError: the disk is full, or the memory limit too low even with spilling.
    """
    try:
        return connection.execute(statement, parameters)
    except duckdb.OutOfMemoryException as fault:
        raise InputError(
            f"the memory limit is too low for the table {written.stem}",
            remedy="allow more: rlrec ingest ... --memory-limit 2GB",
        ) from fault
    except duckdb.IOException as fault:
        if os.strerror(errno.ENOSPC) in str(fault):
            raise no_space(written) from fault
        raise


def run(query: Query, target: Path, connection: duckdb.DuckDBPyConnection, columns: Iterable[str] | None = None) -> int:
    """Write the query's rows, or some of its columns, to a Parquet file; return how many.

    Raises:
        InputError: the disk is full.
    """
    chosen = "*" if columns is None else ", ".join(f'"{name}"' for name in columns)
    statement = f"copy (select {chosen} from (\n{query.text}\n)) to $target (format parquet, compression zstd)"
    answer = execute(statement, connection, target, **query.parameters, target=str(target)).fetchone()
    return int(answer[0]) if answer else 0


def rows_of(query: Query, connection: duckdb.DuckDBPyConnection, at_most: int | None = None) -> list[dict[str, Any]]:
    """The query's rows (the first ones, with `at_most`), as dictionaries."""
    answer = connection.execute(query.text, query.parameters)
    names = [column[0] for column in answer.description]
    rows = answer.fetchall() if at_most is None else answer.fetchmany(at_most)
    return [dict(zip(names, row, strict=True)) for row in rows]


def assure(query: Query, connection: duckdb.DuckDBPyConnection) -> None:
    """Run a check.

    Raises:
        BrokenCheckError: it selects rows.
    """
    if bad := rows_of(query, connection, SHOWN_ROWS):
        raise BrokenCheckError(f"{query.file} selects rows that must not exist, the first: {bad}")
