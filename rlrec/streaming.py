"""Shuffled mini-batches straight from Parquet row groups: of tables larger than memory, in an order a seed decides."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from rlrec.errors import InputError

BUFFER = 1 << 20  # rows shuffled together: eight row groups of DuckDB's default size

T = TypeVar("T")


@dataclass(frozen=True)
class RowGroup:
    """A row group: its file, its place there, and its rows."""

    file: Path
    place: int
    rows: int


@dataclass(frozen=True)
class Stream:
    """Batches of `size` rows of a Parquet file or of a folder of them: every row once an epoch, over all ranks.

    An epoch puts the row groups in random order and deals them to the ranks in turn; as many as `buffer` rows hold are
    shuffled together, while a thread reads the next ones. Four buffers and a row group are the most that is in memory.
    Ranks differ by about a row group: processes that step together take the least `count` among them.
    """

    groups: tuple[RowGroup, ...]
    columns: tuple[str, ...]
    size: int
    seed: int
    buffer: int = BUFFER
    rank: int = 0
    world_size: int = 1
    keep_last: bool = True

    @staticmethod
    def over(
        source: Path,
        columns: Sequence[str],
        *,
        size: int,
        seed: int,
        buffer: int = BUFFER,
        rank: int = 0,
        world_size: int = 1,
        keep_last: bool = True,
    ) -> "Stream":
        """The rows of `source`; `keep_last` is whether the rows left at the end of an epoch make a smaller batch.

        Raises:
            InputError: no file, or one that is no Parquet; a column that is missing, not of numbers, or of another type
                than in the first file; a row group larger than the buffer; a batch of no rows.
        """
        if size < 1:
            raise InputError("a batch needs a row", remedy=f"set its size to at least 1 (now {size})")
        files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
        if not files:
            raise InputError("no Parquet file in this folder", file=source, remedy="hand over the folder of a table")
        groups: list[RowGroup] = []
        types: dict[str, pa.DataType] = {}
        for file in files:
            with opened(file) as parquet:
                for name in columns:
                    judge(file, name, parquet.schema_arrow, types)
                rows = [parquet.metadata.row_group(place).num_rows for place in range(parquet.num_row_groups)]
            if max(rows, default=0) > buffer:
                raise InputError(
                    f"a row group is larger than the buffer of {buffer:,} rows",
                    file=file,
                    rows=max(rows),
                    remedy="write the file with smaller row groups, or enlarge the buffer",
                )
            groups += [RowGroup(file, place, count) for place, count in enumerate(rows)]
        return Stream(tuple(groups), tuple(columns), size, seed, buffer, rank, world_size, keep_last)

    def count(self, epoch: int) -> int:
        """How many batches this rank has in the epoch, without reading rows."""
        rows = sum(group.rows for group in self.dealt(epoch))
        return -(-rows // self.size) if self.keep_last else rows // self.size

    def batches(self, epoch: int, position: int = 0) -> Iterator[dict[str, Tensor]]:
        """The epoch from batch number `position` on, without reading what lies before it; times as microseconds.

        Raises:
            InputError: a column has nulls.
        """
        passed = self.size * position
        calls: list[Callable[[], dict[str, np.ndarray]]] = []
        for number, window in enumerate(self.windows(epoch)):
            rows = sum(group.rows for group in window)
            if calls or rows > passed:
                calls.append(partial(self.shuffled, window, (self.seed, epoch, self.rank, number)))
            else:
                passed -= rows
        rest = {name: np.empty(0) for name in self.columns}
        for read in ahead(calls):
            ready = {name: part[passed:] for name, part in read.items()}
            if held(rest):
                ready = {name: np.concatenate([rest[name], part]) for name, part in ready.items()}
            passed, whole = 0, held(ready) - held(ready) % self.size
            for start in range(0, whole, self.size):
                yield {name: torch.from_numpy(part[start : start + self.size]) for name, part in ready.items()}
            rest = {name: part[whole:].copy() for name, part in ready.items()}
        if self.keep_last and held(rest):
            yield {name: torch.from_numpy(part) for name, part in rest.items()}

    def dealt(self, epoch: int) -> list[RowGroup]:
        """This rank's row groups in the order of the epoch."""
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.groups))
        return [self.groups[place] for place in order[self.rank :: self.world_size]]

    def windows(self, epoch: int) -> list[list[RowGroup]]:
        """The row groups that are shuffled together, as many as the buffer holds."""
        windows: list[list[RowGroup]] = []
        room = 0
        for group in self.dealt(epoch):
            if not windows or group.rows > room:
                windows.append([])
                room = self.buffer
            windows[-1].append(group)
            room -= group.rows
        return windows

    def shuffled(self, window: Sequence[RowGroup], seed: tuple[int, ...]) -> dict[str, np.ndarray]:
        """The rows of these row groups, permuted."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name in self.columns}
        for file, groups in groupby(sorted(window, key=lambda group: (group.file, group.place)), lambda g: g.file):
            with opened(file) as parquet:
                for group in groups:
                    table = parquet.read_row_group(group.place, columns=list(self.columns))
                    for name, part in parts.items():
                        part.append(numbers(file, name, table[name]))
        order = np.random.default_rng(seed).permutation(sum(group.rows for group in window))
        return {name: np.concatenate(parts.pop(name))[order] for name in self.columns}


def opened(file: Path) -> pq.ParquetFile:
    """The file, its footer read.

    Raises:
        InputError: it is missing, or no Parquet.
    """
    try:
        return pq.ParquetFile(file)
    except FileNotFoundError as fault:
        raise InputError("there is no such file", file=file, remedy="check the path") from fault
    except pa.ArrowInvalid as fault:
        raise InputError(
            f"this is no Parquet file: {fault}", file=file, remedy="write it again, or take it out of the folder"
        ) from fault


def judge(file: Path, name: str, schema: pa.Schema, types: dict[str, pa.DataType]) -> None:
    """Refuse a column that cannot become a tensor, or whose type is not the one in `types`, where it is noted."""
    place = schema.get_field_index(name)
    if place < 0:
        raise InputError(
            "a required column is missing", file=file, column=name, remedy=f"choose among {', '.join(schema.names)}"
        )
    kind = schema.field(place).type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if not (is_number or pa.types.is_timestamp(kind)):
        raise InputError(
            f"a column of type {kind} is no tensor", file=file, column=name, remedy="leave it out, or encode it as ids"
        )
    if types.setdefault(name, kind) != kind:
        raise InputError(
            f"a column has type {kind}, and {types[name]} in the files before",
            file=file,
            column=name,
            remedy=f"cast {name} to one type in all files",
        )


def numbers(file: Path, name: str, column: pa.ChunkedArray) -> np.ndarray:
    """A column as an array; times as microseconds.

    Raises:
        InputError: it has nulls.
    """
    if column.null_count:
        raise InputError(
            "nulls cannot be trained on, and no value stands for them",
            file=file,
            column=name,
            rows=column.null_count,
            remedy=f"fill or drop the rows without {name}, or leave the column out",
        )
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return column.to_numpy()


def held(rows: dict[str, np.ndarray]) -> int:
    """How many rows these columns have."""
    return len(next(iter(rows.values())))


def ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What the calls return, in order; a thread makes the next call while the last result is used."""
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="row-groups") as thread:
        for call in calls:
            pending.append(thread.submit(call))
            if len(pending) > 1:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
