"""Staged rows -> the base of a warehouse: vocabularies that only grow, and partitions by period and bucket of users.

prepare -> load_bucket for each bucket, in any order and on any worker -> commit. Until commit nothing of the warehouse
changes; commit puts the new files beside the old ones and replaces the manifest.
"""

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rlrec.errors import InputError
from tasks import queries
from tasks.artifacts import settle_all
from tasks.database import BrokenCheckError, connect, execute, run
from tasks.linkage import agreement
from tasks.manifest import BASE, DataFile, Frozen, Input, Manifest, key_of, read_manifest, write_manifest
from tasks.parts import NAMED, NAMES, OF_ONE_USER, Keys, bucket_rows, days_in, number, parts_in
from tasks.queries import Query
from tasks.sources.rawfiles import PACKED, digest_of_raw
from tasks.staging import MOMENT, PLACED, REJECTS, STAGED, TEXT, Feed, Staged, stage

PREPARED = "prepared.json"
IDS = "ids"  # folder of the arrays of ids by key
WORKERS = 2  # buckets loaded at the same time
DATABASE = 0.6  # of the memory limit; the rest is for blocks of text that are read, parsed and judged
GRAINS = ("day", "month", "year")
MOST_PERIODS = 400  # of one table; a file each, and for each bucket
BUCKET_BYTES = 64 << 20  # of raw text: about two million events, sorted in memory
MOST_BUCKETS = 64
NAMES_AT_ONCE = 1 << 20
UNPACKED = 4  # times a packed log grows, roughly
VOCABULARY = pa.schema([("kind", TEXT), ("external", TEXT), ("id", pa.int32()), ("bucket", pa.int16())])

BASE_SCHEMAS: dict[str, pa.Schema] = {
    "vocabulary": VOCABULARY,
    "quarantine": REJECTS,
    "events": pa.schema(
        [
            ("user", pa.int32()), ("session", pa.int64()), ("item", pa.int32()), ("behaviour", TEXT),
            ("value", pa.float64()), ("at", MOMENT), ("place", pa.int64()), ("repeat", pa.bool_()),
        ]
    ),
    **{
        table: pa.schema(list((STAGED[table] | PLACED).items()))
        for table in ("items", "triples", "links", "identifiers", "dialogues")
    },
}  # fmt: skip
"""The tables of the base, where a view may find no file of them."""


class Settings(Frozen):
    """How a warehouse is made; kept for its life in the manifest, except for the memory limit."""

    name: str
    title: str
    licence: str = ""
    grain: str | None = None
    buckets: int | None = None
    max_reject_share: float = 0.01
    no_genre: str = ""
    memory_limit: str = "1GB"


class Prepared(Frozen):
    """What is staged and named, ready to be loaded bucket by bucket."""

    before: Manifest
    inputs: tuple[Input, ...]
    parts: dict[str, tuple[str, ...]]
    new_names: tuple[tuple[str, str, int], ...]
    memory_limit: str
    warehouse: str


def prepare(
    feeds: Sequence[Feed], warehouse: Path, before: Manifest | None, work: Path, settings: Settings
) -> Prepared | None:
    """Stage the files that the warehouse does not hold yet and give new names their ids; nothing when all are known.

    Raises:
        InputError: a file cannot be used.
    """
    buckets = before.buckets if before else settings.buckets or buckets_for(feeds)
    inputs: list[Input] = []
    staged: dict[str, list[str]] = {
        table: [empty(work, table, pa.schema(list((columns | PLACED).items())))]
        for table, columns in STAGED.items()
        if table not in NAMED
    }
    parts: dict[str, list[str]] = {table: [] for table in NAMED}
    keys = Keys()
    held = {part.key for part in before.inputs} if before else set[tuple[str, str, str]]()
    fresh, digests = set[tuple[str, str, str]](), dict[Path, str]()
    generation = before.generation + 1 if before else 1
    most = before.max_reject_share if before else settings.max_reject_share
    number = max((part.number for part in before.inputs), default=0) if before else 0
    with connect(work, settings.memory_limit, part=DATABASE) as connection:
        for feed in feeds:
            number += 1
            if held and key_before(feed, digests) in held:
                continue
            part = stage(
                replace(feed, number=number), work / f"feed{number}", connection,
                buckets=buckets, keys=keys, max_reject_share=most,
            )  # fmt: skip
            record = input_of(feed, part, number, generation)
            if record.key in fresh:
                shutil.rmtree(part.parts.parent)
                continue
            fresh.add(record.key)
            inputs.append(record)
            if part.table in NAMED:
                parts[part.table].append(str(part.parts))
            elif part.counts.accepted:
                staged[part.table].append(str(part.parts / "*.parquet"))
        if not inputs:
            return None
        folders = [folder for some in parts.values() for folder in some]
        grain = before.grain if before else settings.grain or grain_for(days_in(parts_in(folders)))
        found = agreement(
            tuple(staged["items"]), tuple(staged["links"]), tuple(staged["triples"]), work, connection,
            no_genre=settings.no_genre,
        )  # fmt: skip
        base = before or born(settings, grain, buckets)
        measured = {"pairs": found.pairs, "shared": found.shared, "any_two": found.any_two, "score": found.score}
        if len(staged["links"]) > 1:
            rounded = {name: value if value is None else round(value, 4) for name, value in measured.items()}
            base = base.model_copy(update={"links_fit": found.fits, "agreement": rounded})
        old = [str(warehouse / file.path) for file in base.of("vocabulary")]
        names = name_all(base, staged, folders, old, work, connection, generation, settings.no_genre)
        number_all(folders, (*old, *(file for _, file, _ in names)), keys, work, connection)
    prepared = Prepared(
        before=base,
        inputs=tuple(inputs),
        parts={table: tuple(some) for table, some in parts.items()},
        new_names=tuple(names),
        memory_limit=settings.memory_limit,
        warehouse=str(warehouse),
    )
    (work / PREPARED).write_text(prepared.model_dump_json(), encoding="utf-8")
    return prepared


def key_before(feed: Feed, digests: dict[Path, str]) -> tuple[str, str, str]:
    """The key that the feed would have, by its content alone; a file of several feeds is read once."""
    if feed.file not in digests:
        digests[feed.file] = digest_of_raw(feed.file)
    return key_of(digests[feed.file], feed.statement.table, feed.statement.file, feed.statement.parameters)


def input_of(feed: Feed, staged: Staged, number: int, generation: int) -> Input:
    """The manifest's record of a staged file."""
    return Input(
        name=feed.name,
        sha256=staged.sha256,
        table=staged.table,
        statement=feed.statement.file,
        parameters=dict(feed.statement.parameters),
        counts=staged.counts,
        reasons=staged.reasons,
        number=number,
        generation=generation,
    )


def empty(work: Path, name: str, schema: pa.Schema) -> str:
    """A Parquet file without rows, so that a statement always finds its columns."""
    file = work / "empty" / f"{name}.parquet"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(schema.empty_table(), file)
    return str(file)


def inherit(giver: Path, before: Manifest | None, warehouse: Path, settings: Settings) -> Manifest:
    """The manifest of a warehouse that starts with the ids, buckets and periods of another, without its rows.

    The vocabulary is copied; until the first commit no manifest names it. A warehouse that has it already is as it was.

    Raises:
        InputError: the other one is no warehouse, or this one has ids of its own.
    """
    given = read_manifest(giver)
    if given is None:
        raise InputError(
            "the folder is no warehouse, so it has no vocabulary to start from", file=giver, remedy="give another one"
        )
    files = tuple(given.of("vocabulary"))
    if before is not None:
        if set(files) <= set(before.of("vocabulary")):
            return before
        raise InputError(
            f"the warehouse has ids of its own, so it cannot take those of {giver}",
            file=warehouse,
            remedy="leave the vocabulary out, or ingest into a new folder",
        )
    for file in files:
        target = warehouse / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(giver / file.path, target)
    return born(settings, settings.grain or given.grain, given.buckets).model_copy(
        update={"generation": given.generation, "files": files, "vocabulary": given.vocabulary}
    )


def born(settings: Settings, grain: str, buckets: int) -> Manifest:
    """The manifest of a warehouse that holds nothing yet."""
    return Manifest(
        name=settings.name,
        title=settings.title,
        licence=settings.licence,
        buckets=buckets,
        grain=grain,
        max_reject_share=settings.max_reject_share,
    )


def buckets_for(feeds: Sequence[Feed]) -> int:
    """How many buckets of users: a power of 2, so that each bucket of the first files fits into memory."""
    size = sum(feed.file.stat().st_size * (UNPACKED if feed.file.suffix in PACKED else 1) for feed in feeds)
    return min(MOST_BUCKETS, 1 << max(0, (size // BUCKET_BYTES).bit_length()))


def grain_for(days: Collection[date]) -> str:
    """The finest period that makes at most `MOST_PERIODS` partitions; `none` when even years are more."""
    periods = {
        "day": len(days),
        "month": len({(day.year, day.month) for day in days}),
        "year": len({day.year for day in days}),
    }
    return next((grain for grain in GRAINS if periods[grain] <= MOST_PERIODS), "none")


def name_all(
    base: Manifest,
    staged: Mapping[str, Sequence[str]],
    folders: Sequence[str],
    old: Sequence[str],
    work: Path,
    connection: duckdb.DuckDBPyConnection,
    generation: int,
    no_genre: str,
) -> list[tuple[str, str, int]]:
    """Files with the new names of each kind and their ids, as (kind, file, rows); known names keep theirs."""
    known = (*old, empty(work, "vocabulary", VOCABULARY))
    tables = {table: tuple(files) for table, files in staged.items()}
    last = base.vocabulary.get
    names: list[tuple[str, str, int]] = []

    def add(kind: str, query: Query) -> None:
        file = work / f"vocabulary-{kind}-g{generation:05d}.parquet"
        if rows := run(query, file, connection):
            names.append((kind, str(file), rows))

    def found(kind: str) -> tuple[str, ...]:
        return names_of(kind, folders, work)

    add("user", queries.NewUsers(names=found("user"), triples=tables["triples"], known=known, last=last("user", 0)))
    add(
        "item",
        queries.NewItems(
            names=found("item"),
            items=tables["items"],
            triples=tables["triples"],
            dialogues=tables["dialogues"],
            known=known,
            last=last("item", 0),
        ),
    )
    add(
        "entity",
        queries.NewEntities(
            items=tables["items"],
            links=tables["links"],
            triples=tables["triples"],
            vocabulary=(*known, *(file for _, file, _ in names)),
            known=known,
            linked=base.links_fit,
            no_genre=no_genre,
            last=last("entity", 0),
        ),
    )
    for kind in OF_ONE_USER:
        add(kind, queries.NewSessions(kind=kind, names=found(kind), known=known, last=last(kind, 0)))
    return names


def number_all(
    folders: Sequence[str], vocabulary: tuple[str, ...], keys: Keys, work: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    """Write, kind by kind, the ids of the names in all parts by their keys."""
    for kind, size in keys.taken.items():
        query = queries.NumberedNames(kind=kind, names=names_of(kind, folders, work), vocabulary=vocabulary)
        found = connection.sql(query.text, params=query.parameters).to_arrow_reader(NAMES_AT_ONCE)
        number(found, size, work / IDS / kind)


def names_of(kind: str, folders: Sequence[str], work: Path) -> tuple[str, ...]:
    """The files with the names of a kind, or one without rows."""
    found = (Path(folder) / "names" / kind for folder in folders)
    return (*(str(folder / "*.parquet") for folder in found if folder.exists()), empty(work, "names", NAMES))


def load_bucket(work: Path, bucket: int, into: Path) -> list[DataFile]:
    """Give one bucket's staged rows their ids and write its touched partitions anew, sorted by user and time.

    A task of its own: it reads `work` and the warehouse, and writes only its own files below `into`.
    """
    prepared = read_prepared(work)
    base, generation = prepared.before, prepared.before.generation + 1
    files: list[DataFile] = []
    scratch = into / f"scratch{bucket}"
    scratch.mkdir(parents=True, exist_ok=True)
    ids = {kind: work / IDS / kind for kinds in NAMED.values() for kind in kinds}
    with connect(scratch, prepared.memory_limit, share=WORKERS, part=DATABASE) as connection:
        for table, folders in prepared.parts.items():
            parts = parts_in(folders)
            if not parts:
                continue
            query = queries.BaseRows(grain=base.grain)
            connection.register("rows", bucket_rows(parts, bucket, table, ids))
            connection.execute(f"create or replace table fresh as {query.text}", query.parameters)
            periods = connection.execute("select distinct period from fresh order by period").fetchall()
            for (day,) in periods:
                period = period_name(base.grain, day)
                old = [file for file in base.of(table) if (file.period, file.bucket) == (period, bucket)]
                path = f"{BASE}/{table}/period={period}/bucket-{bucket:03d}-g{generation:05d}.parquet"
                target = into / path
                target.parent.mkdir(parents=True, exist_ok=True)
                rows = write_partition(
                    table, day, [str(Path(prepared.warehouse) / file.path) for file in old], target, connection
                )
                files.append(
                    DataFile(table=table, path=path, rows=rows, generation=generation, period=period, bucket=bucket)
                )
    shutil.rmtree(scratch)
    return files


def period_name(grain: str, day: date | None) -> str:
    """What a partition is called: by its day, month or year, `all`, or `undated`."""
    if day is None:
        return "undated"
    return {"day": f"{day:%Y-%m-%d}", "month": f"{day:%Y-%m}", "year": f"{day:%Y}"}.get(grain, "all")


ORDERS = {
    "events": '"user", "at", item, (hash(behaviour, value, session) >> 32)::uinteger',
    "slates": '"user", "at" nulls first, request, position, place',
}
"""Of an event at most 24 bytes: longer keys, and text, take half as long again to sort. The hash puts equal events side
by side; that others come between them, where user, time and item are the same, would take one chance in 2^32."""
UNTIMED = '"user", place'
REPEATS = {
    "events": """,
    "at" is not null and coalesce(
        row("user", "at", item, behaviour, value, session)
        is not distinct from lag(row("user", "at", item, behaviour, value, session)) over (),
        false
    ) as repeat""",
    "slates": "",
}
"""An event whose six columns are those of the one before it, in an order that puts equal events side by side."""


def write_partition(
    table: str, day: date | None, old: list[str], target: Path, connection: duckdb.DuckDBPyConnection
) -> int:
    """One period of one bucket: the rows it has and the fresh ones, in order; how many they are."""
    before, order = "", UNTIMED if day is None else ORDERS[table]
    parameters: dict[str, Any] = {"day": day, "target": str(target)}
    if old:
        kept = "* exclude (repeat)" if table == "events" else "*"
        before = f"union all by name select {kept} from read_parquet($old)"
        parameters["old"] = old
    fresh = "select * exclude (period) from fresh where period is not distinct from $day"
    answer = execute(
        f"copy (select *{REPEATS[table]} from (select * from ({fresh} {before}) order by {order})) "
        "to $target (format parquet, compression zstd, compression_level 1)",
        connection,
        target,
        **parameters,
    ).fetchone()
    return int(answer[0]) if answer else 0


def read_prepared(work: Path) -> Prepared:
    """What `prepare` left in its work folder."""
    return Prepared.model_validate_json((work / PREPARED).read_text(encoding="utf-8"))


def commit(
    work: Path,
    loaded: Sequence[tuple[Path, Sequence[DataFile]]],
    warehouse: Path,
    *,
    place: Callable[[Path, Path], object] = os.replace,
) -> Manifest:
    """Check that nothing got lost, put the new files into the warehouse, and replace its manifest.

    `loaded`: for each bucket the folder its files were written into, and the files. `place` moves a file.

    Raises:
        BrokenCheckError: rows are missing.
    """
    prepared = read_prepared(work)
    base, generation = prepared.before, prepared.before.generation + 1
    fresh = [file for _, files in loaded for file in files]
    moves = [(into / file.path, warehouse / file.path) for into, files in loaded for file in files]
    for kind, file, rows in prepared.new_names:
        path = f"{BASE}/vocabulary/{kind}-g{generation:05d}.parquet"
        moves.append((Path(file), warehouse / path))
        fresh.append(DataFile(table="vocabulary", path=path, rows=rows, generation=generation))
    for part in prepared.inputs:
        for table, path, source, rows in other_files(part, prepared, work, generation):
            moves.append((source, warehouse / path))
            fresh.append(DataFile(table=table, path=path, rows=rows, generation=generation))
    replaced = {(file.table, file.period, file.bucket) for file in fresh if file.bucket is not None}
    kept = [file for file in base.files if (file.table, file.period, file.bucket) not in replaced]
    manifest = base.model_copy(
        update={
            "generation": generation,
            "inputs": (*base.inputs, *prepared.inputs),
            "files": tuple(sorted((*kept, *fresh), key=lambda file: file.path)),
            "vocabulary": base.vocabulary
            | {kind: base.vocabulary.get(kind, 0) + rows for kind, _, rows in prepared.new_names},
            "versions": {name: version(name) for name in ("rlrec", "duckdb", "pyarrow", "polars")},
        }
    )
    check_conserved(manifest)
    for source, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        place(source, target)
    settle_all((target for _, target in moves), warehouse)
    write_manifest(warehouse, manifest)
    return manifest


def other_files(part: Input, prepared: Prepared, work: Path, generation: int) -> list[tuple[str, str, Path, int]]:
    """An input's rejects, and its accepted rows where they are kept as they were staged: (table, path, file, rows)."""
    folder = work / f"feed{part.number}"
    stem = f"g{generation:05d}-{part.number:05d}.parquet"
    found: list[tuple[str, str, Path, int]] = []
    if part.counts.quarantined:
        found.append(("quarantine", f"{BASE}/quarantine/{stem}", folder / "rejects.parquet", part.counts.quarantined))
    if part.table not in NAMED and part.counts.accepted:
        target = folder / "accepted.parquet"
        columns = ", ".join(f'"{name}"' for name in STAGED[part.table])
        with connect(work, prepared.memory_limit) as connection:
            execute(
                f"copy (select {columns}, line, feed, place from read_parquet($staged) order by line, place) "
                "to $target (format parquet, compression zstd)",
                connection,
                target,
                staged=str(folder / "parts" / "*.parquet"),
                target=str(target),
            )
        found.append((part.table, f"{BASE}/{part.table}/{stem}", target, part.counts.accepted))
    return found


def check_conserved(manifest: Manifest) -> None:
    """Rows accepted from the inputs = rows in the base, table by table.

    Raises:
        BrokenCheckError: they differ.
    """
    for table in STAGED:
        accepted, stored = manifest.accepted(table), sum(file.rows for file in manifest.of(table))
        if accepted != stored:
            raise BrokenCheckError(f"table {table}: {accepted} rows were accepted, {stored} are stored")
