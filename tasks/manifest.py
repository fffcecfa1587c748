"""The manifest of a warehouse: the one file that says what it holds. Data files never change; the manifest is replaced.

Whoever is killed leaves the old manifest or the new one behind, never a mixture; files that no manifest names are
swept by the next ingestion.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, ValidationError

from rlrec.corpus import MANIFEST
from rlrec.errors import InputError
from tasks.artifacts import settle
from tasks.staging import Counts, Reason

BASE = "base"
VIEWS = "views"
WORK = ".work"
LOCK = ".lock"
SCHEMA_VERSION = 2
PREVIOUS_VERSION = 1


class Frozen(BaseModel):
    """A record of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(Frozen):
    """One raw file that went in for one table: its digest, how it was read, and what became of its rows."""

    name: str
    sha256: str
    table: str
    statement: str
    parameters: dict[str, Any]
    counts: Counts
    reasons: tuple[Reason, ...]
    number: int
    generation: int

    @property
    def key(self) -> tuple[str, str, str]:
        """The same file for the same table under the same statement is the same input."""
        return key_of(self.sha256, self.table, self.statement, self.parameters)


def key_of(sha256: str, table: str, statement: str, parameters: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells one input from another, known before the file is staged."""
    return sha256, table, json.dumps([statement, dict(parameters)], sort_keys=True)


class DataFile(Frozen):
    """One Parquet file of the base: `path` is relative to the warehouse."""

    table: str
    path: str
    rows: int
    generation: int
    period: str | None = None
    bucket: int | None = None


class Manifest(Frozen):
    """What a warehouse holds."""

    schema_version: int = SCHEMA_VERSION
    name: str
    title: str
    licence: str
    generation: int = 0
    buckets: int
    grain: str
    max_reject_share: float
    links_fit: bool = False
    agreement: dict[str, float | int | None] = {}
    inputs: tuple[Input, ...] = ()
    files: tuple[DataFile, ...] = ()
    vocabulary: dict[str, int] = {}
    versions: dict[str, str] = {}
    view: str | None = None
    """The newest corpus made of it, relative to the warehouse."""

    def of(self, table: str) -> list[DataFile]:
        """The files of one table."""
        return [file for file in self.files if file.table == table]

    def accepted(self, table: str) -> int:
        """How many rows of the inputs were accepted for one table."""
        return sum(part.counts.accepted for part in self.inputs if part.table == table)


def read_manifest(warehouse: Path) -> Manifest | None:
    """The manifest, or nothing where there is none yet.

    Raises:
        InputError: it is damaged, or of a version that this code does not read.
    """
    file = warehouse / MANIFEST
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content.get("schema_version")
        if version not in (SCHEMA_VERSION, PREVIOUS_VERSION):
            raise InputError(
                f"the warehouse has schema version {version}, this rlrec reads {PREVIOUS_VERSION} and {SCHEMA_VERSION}",
                file=file,
                remedy="use the rlrec that wrote it, or ingest the raw files into another folder",
            )
        return Manifest.model_validate(migrated(content))
    except (OSError, ValueError, AttributeError, ValidationError) as fault:
        raise InputError(
            f"the manifest is damaged ({str(fault).splitlines()[0]})",
            file=file,
            remedy="restore it from a backup, or ingest the raw files into another folder",
        ) from fault


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    """A manifest of the previous version as one of this version: version 1 did not measure whether links fit."""
    if content["schema_version"] == SCHEMA_VERSION:
        return content
    return {"links_fit": False, **content, "schema_version": SCHEMA_VERSION}


def write_manifest(warehouse: Path, manifest: Manifest) -> None:
    """Replace the manifest: all or nothing, and on the disk when this returns."""
    draft = warehouse / f".{MANIFEST}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(manifest.model_dump_json(indent=1))
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(warehouse / MANIFEST)
    settle(warehouse)


@contextmanager
def locked(warehouse: Path) -> Iterator[None]:
    """Be the only writer of this warehouse; the lock ends with the process, whatever ends it.

    Raises:
        InputError: somebody else is writing, or the folder cannot be written.
    """
    with lock_file(warehouse) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            stream.seek(0)
            raise InputError(
                f"another ingestion is writing here (process {stream.read().strip() or 'unknown'})",
                file=warehouse,
                remedy="wait until it ends, then run again: files that it ingested are recognised",
            ) from fault
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def lock_file(warehouse: Path) -> TextIO:
    """The file that carries the lock, opened.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        warehouse.mkdir(parents=True, exist_ok=True)
        return (warehouse / LOCK).open("a+")
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            raise
        raise InputError(
            f"the folder cannot be written ({fault.strerror})",
            file=warehouse,
            remedy="choose a folder that this account may write to",
        ) from fault


@contextmanager
def writing(warehouse: Path) -> Iterator[tuple[Manifest | None, Path]]:
    """Hold the lock; yield the manifest and an empty work folder, which is removed in the end.

    Raises:
        InputError: somebody else is writing, the folder cannot be written or is something else than a warehouse, or a
            file of it is gone.
    """
    if warehouse.is_file() or (warehouse.is_dir() and not (warehouse / MANIFEST).exists() and foreign(warehouse)):
        raise InputError(
            "the output exists and is no warehouse, so nothing is written there",
            file=warehouse,
            remedy="choose another folder",
        )
    with locked(warehouse):
        manifest = read_manifest(warehouse)
        if manifest is not None:
            assure_whole(warehouse, manifest)
        sweep(warehouse, manifest)
        work = warehouse / WORK
        work.mkdir()
        try:
            yield manifest, work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def assure_whole(warehouse: Path, manifest: Manifest) -> None:
    """Look whether all files that the manifest names are there.

    Raises:
        InputError: one is gone.
    """
    gone = next((file.path for file in manifest.files if not (warehouse / file.path).exists()), None)
    if gone is not None:
        raise InputError(
            "the warehouse lacks a file that its manifest names",
            file=warehouse / gone,
            remedy="restore it from a backup, or ingest the raw files into another folder",
        )


def foreign(folder: Path) -> bool:
    """Whether the folder holds anything that an interrupted first ingestion would not leave behind."""
    return any(
        place.name not in {LOCK, WORK, BASE} and not place.name.startswith(f".{MANIFEST}") for place in folder.iterdir()
    )


def sweep(warehouse: Path, manifest: Manifest | None) -> None:
    """Remove what an ingestion that did not end left behind. Only for whoever holds the lock."""
    shutil.rmtree(warehouse / WORK, ignore_errors=True)
    for draft in warehouse.glob(f".{MANIFEST}.*"):
        draft.unlink()
    named = {warehouse / file.path for file in manifest.files} if manifest else set[Path]()
    for file in (warehouse / BASE).rglob("*.parquet"):
        if file not in named:
            file.unlink()
    for view in (warehouse / VIEWS).glob("*"):
        if manifest is None or view != warehouse / str(manifest.view):
            shutil.rmtree(view)
