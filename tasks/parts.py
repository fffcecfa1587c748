"""Accepted rows on their way into the base: a name is written once for each part, and rows carry its number.

A part holds some rows as one Arrow batch for each bucket of users, so that a bucket is read without the others. Its
names go into files of their own, kind by kind, each under a key; keys run on through all parts. Once the names have
ids, an array by key holds them, and reading a bucket is looking numbers up.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Integer

from tasks.database import BrokenCheckError
from tasks.queries import Buckets

TEXT, KEY = pa.string(), pa.int64()
NAMED = {
    "events": {"user": "user_external", "session": "session_external", "item": "item_external"},
    "slates": {"user": "user_external", "request": "request_external", "item": "item_external"},
}
"""For each table that is kept by user: kinds of names, and the staged columns that hold them."""
OF_ONE_USER = ("session", "request")
NAMES = pa.schema([("key", KEY), ("external", TEXT), ("bucket", pa.int16())])


@dataclass
class Keys:
    """How many names of each kind were written; workers share it."""

    taken: Counter[str] = field(default_factory=Counter[str])
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, kind: str, names: int) -> int:
        """The first of so many keys, from 0."""
        with self.lock:
            first = self.taken[kind]
            self.taken[kind] += names
        return first


def write_part(
    table: str, rows: pa.Table, folder: Path, stem: str, buckets: int, keys: Keys,
    connection: duckdb.DuckDBPyConnection,
) -> None:  # fmt: skip
    """Write accepted rows of `table` as the part `stem` in `folder`, and their names to `names` in it.

    Raises:
        BrokenCheckError: a row lacks its user, item or request.
    """
    columns: dict[str, pa.Array] = {}
    bucket = np.zeros(len(rows), np.int16)
    for kind, column in NAMED[table].items():
        texts = own_name(rows, column) if kind in OF_ONE_USER else whole(rows[column])
        found = texts.dictionary_encode()
        known = found.indices.is_valid().to_numpy(zero_copy_only=False)
        if kind != "session" and not known.all():
            raise BrokenCheckError(f"{len(known) - known.sum()} accepted rows lack their {kind}")
        codes = found.indices.fill_null(0).to_numpy().astype(np.int64)
        owner: pa.Array = pa.nulls(len(found.dictionary), pa.int16())
        if kind == "user":
            owner = buckets_of(found.dictionary, buckets, connection)
            bucket = owner.to_numpy()[codes]
        elif kind in OF_ONE_USER and len(found.dictionary):
            of_name = np.zeros(len(found.dictionary), np.int16)
            of_name[codes[known]] = bucket[known]
            owner = pa.array(of_name)
        first = write_names(kind, found.dictionary, owner, folder, stem, keys)
        columns[kind] = pa.array(codes + first, KEY, mask=~known)
    if table == "slates":
        offered = whole(rows["candidates"]).flatten().unique().drop_null()
        write_names("item", offered, pa.nulls(len(offered), pa.int16()), folder, f"{stem}-offered", keys)
    feed, line, within = (whole(rows[name]).to_numpy().astype(np.int64) for name in ("feed", "line", "place"))
    place = (feed << 44) + (line << 16) + within
    untimed = whole(rows["moment"].is_null()).to_numpy(zero_copy_only=False)
    columns["place"] = pa.array(place, KEY, mask=None if table == "slates" else ~untimed)
    others = [name for name in rows.column_names if name not in (*NAMED[table].values(), "feed", "line", "place")]
    columns |= {name: whole(rows[name]) for name in others}
    batch = pa.record_batch(columns).take(pa.array(np.argsort(bucket, kind="stable")))
    ends = np.cumsum(np.bincount(bucket, minlength=buckets))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        pa.OSFile(str(folder / f"{stem}.arrow"), "wb") as file,
        pa.ipc.new_file(file, batch.schema, options=options) as out,
    ):
        for start, end in zip((0, *ends[:-1].tolist()), ends.tolist(), strict=True):
            out.write_batch(batch.slice(start, end - start))


def write_names(kind: str, texts: pa.Array, owner: pa.Array, folder: Path, stem: str, keys: Keys) -> int:
    """Write names under the next keys; the first of these."""
    first = keys.take(kind, len(texts))
    names = pa.table([pa.array(np.arange(first, first + len(texts)), KEY), texts, owner], schema=NAMES)
    target = made(folder / "names" / kind) / f"{stem}.parquet"
    pq.write_table(names, target, compression="lz4", use_dictionary=False, write_statistics=False)
    return first


def days_in(parts: Iterable[Path]) -> set[date]:
    """The days on which the rows of some parts lie."""
    found: set[date] = set()
    for part in parts:
        with pa.memory_map(str(part)) as file:
            place = pa.ipc.open_file(file).schema.get_field_index("moment")
            found |= days_of(pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=[place])).read_all())
    return found


def days_of(rows: pa.Table) -> set[date]:
    """The days on which rows lie that have a time."""
    return set(rows["moment"].cast(pa.date32()).unique().drop_null().to_pylist())


def parts_in(folders: Iterable[str]) -> list[Path]:
    """The parts, in the order of the source."""
    return [part for folder in folders for part in sorted(Path(folder).glob("*.arrow"))]


def made(folder: Path) -> Path:
    """The folder, which exists now."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def whole(column: pa.ChunkedArray) -> pa.Array:
    """The column in one piece."""
    chunk = column.combine_chunks()
    return chunk if isinstance(chunk, pa.Array) else pa.concat_arrays(chunk.chunks)


def own_name(rows: pa.Table, column: str) -> pa.Array:
    """What a session or request is called: it is one user's, so its name starts with the user's.

    With \\ before / and \\, so that no two are alike; unless it is the same: logs number sessions per user.
    """
    texts, users = whole(rows[column]), whole(rows["user_external"])
    if texts.null_count == len(texts):
        return texts
    escaped = users
    for mark in ("\\", "/"):
        swap = pc.ReplaceSubstringOptions(mark, f"\\{mark}")
        escaped = pc.call_function("replace_substring", [escaped], swap)
    both = pc.call_function("binary_join_element_wise", [escaped, texts, "/"])
    return pc.call_function("if_else", [pc.call_function("equal", [texts, users]), escaped, both])


def buckets_of(users: pa.Array, buckets: int, connection: duckdb.DuckDBPyConnection) -> pa.Array:
    """The bucket of each user."""
    with connection.cursor() as cursor:
        cursor.register("names", pa.table({"external": users}))
        query = Buckets(buckets=buckets)
        return whole(cursor.sql(query.text, params=query.parameters).to_arrow_table()["bucket"])


def number(names: pa.RecordBatchReader, size: int, target: Path) -> None:
    """Write an array with the id of a name at its key, 0 where there is none. `names`: columns key, id."""
    ids = np.memmap(made(target.parent) / target.name, np.int32, "w+", shape=(max(1, size),))
    for batch in names:
        ids[batch["key"].to_numpy()] = batch["id"].to_numpy()
    ids.flush()


def bucket_rows(parts: Sequence[Path], bucket: int, table: str, ids: Mapping[str, Path]) -> pa.RecordBatchReader:
    """The rows of one bucket, part by part, with ids in place of keys; a part may hold none."""
    arrays = {kind: np.memmap(ids[kind], np.int32, "r") for kind in NAMED[table]}
    with pa.memory_map(str(parts[0])) as file:
        schema = pa.ipc.open_file(file).schema
    for kind in arrays:
        schema = schema.set(
            schema.get_field_index(kind), pa.field(kind, pa.int64() if kind in OF_ONE_USER else pa.int32())
        )

    def batches() -> Iterator[pa.RecordBatch]:
        for part in parts:
            with pa.memory_map(str(part)) as file:
                batch = pa.ipc.open_file(file).get_batch(bucket)
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            for kind, array in arrays.items():
                columns[kind] = looked_up(array, columns[kind]).cast(schema.field(kind).type)
            yield pa.record_batch(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def looked_up(ids: Integer[np.ndarray, "N"], keys: pa.Array) -> pa.Array:
    """The ids at these keys; null where there is no key.

    Raises:
        BrokenCheckError: a name has no id.
    """
    missing = keys.is_null().to_numpy(zero_copy_only=False)
    found = ids[keys.fill_null(0).to_numpy()]
    if not np.all((found > 0) | missing):
        raise BrokenCheckError(f"{np.sum((found < 1) & ~missing)} rows have a name without an id")
    return pa.array(found, pa.int32(), mask=missing)
