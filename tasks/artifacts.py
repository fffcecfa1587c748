"""Artifact: what tasks pass to each other. Stored aside, then renamed: nothing half-written is seen."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from rlrec.errors import InputError

CHUNK = 1 << 20


class Artifact(BaseModel, frozen=True):
    """A stored result: where it is, what it holds, its SHA-256, how long it took. Never a frame, tensor or model."""

    model_config = ConfigDict(frozen=True)

    uri: str
    digest: str
    kind: str
    rows: int | None = None
    seconds: float | None = None

    @property
    def path(self) -> Path:
        """The file or folder."""
        return Path(self.uri)


def home() -> Path:
    """The folder of everything that runs leave behind: `RLREC_HOME`, or `.rlrec` in the working directory."""
    return Path(os.environ.get("RLREC_HOME", ".rlrec")).absolute()


def digest_of(path: Path, apart: Collection[str] = ()) -> str:
    """SHA-256 of a file, or of a folder's relative names and contents in sorted order, without files named `apart`."""
    total = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.name not in apart)
    for file in files:
        if file != path:
            total.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                total.update(chunk)
    return total.hexdigest()


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; rename it there on success, remove it on any failure.

    What was written is on the disk before it has its name, and the name when this ends.

    Raises:
        InputError: the disk is full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        draft = workspace / target.name
        yield draft
        settle_all([draft, *(place for place in draft.rglob("*") if place.is_file())], workspace)
        if target.is_dir():
            shutil.rmtree(target)
        draft.rename(target)
        settle(target.parent)
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            raise no_space(target) from fault
        raise
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def settle_all(files: Iterable[Path], root: Path) -> None:
    """Have these files on the disk, and their names in `root` and the folders below it, before somebody names them."""
    places = set(files)
    for file in sorted(places):
        settle(file)
    folders = {folder for file in places for folder in file.parents if folder.is_relative_to(root)}
    for folder in sorted(folders, reverse=True):  # the inner ones first
        settle(folder)


def settle(place: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk: a power failure leaves it whole."""
    opened = os.open(place, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def no_half_written(target: Path) -> Iterator[None]:
    """A full disk, whoever meets it, as an error that says what to do.

    Raises:
        InputError: the disk is full.
    """
    try:
        yield
    except Exception as fault:  # DuckDB, Polars and Arrow each have their own
        if getattr(fault, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in str(fault):
            raise no_space(target) from fault
        raise


def no_space(target: Path) -> InputError:
    """The error for a full disk, with what is free now."""
    free = shutil.disk_usage(target.parent if target.parent.exists() else Path.cwd()).free / 1e6
    return InputError(
        "no space left on the device; nothing was half-written",
        file=target,
        remedy=f"free some space ({free:,.0f} MB are free now) or set RLREC_HOME to a larger disk, then run again",
    )


def store(kind: str, target: Path, write: Callable[[Path], int | None], *, apart: Collection[str] = ()) -> Artifact:
    """Let `write` fill a draft path and return the row count; put it at `target` in one rename, and describe it.

    Files named `apart` say where something came from, not what it is: the digest leaves them out.
    """
    with aside(target) as draft:
        rows = write(draft)
    return Artifact(uri=str(target), digest=digest_of(target, apart), kind=kind, rows=rows)


def described(target: Path) -> Artifact | None:
    """The Artifact stored under `target` earlier, if both it and its description are there."""
    note = target.with_name(f"{target.name}.json")
    if not note.exists():
        return None
    artifact = Artifact.model_validate_json(note.read_text(encoding="utf-8"))
    return artifact if artifact.path.exists() else None


def describe(artifact: Artifact, target: Path) -> Artifact:
    """Write the description beside `target`, which makes the stored result findable; returns the artifact."""
    with aside(target.with_name(f"{target.name}.json")) as draft:
        draft.write_text(artifact.model_dump_json(), encoding="utf-8")
    return artifact
