"""Raw files as they lie: found in a folder, unpacked from an archive, opened, hashed, verified."""

import errno
import gzip
import hashlib
import io
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from rlrec.errors import InputError
from tasks.artifacts import CHUNK, aside

PACKED = (".gz", ".zst", ".zip")
"""Endings of files that are read as what they hold."""


@contextmanager
def open_raw(file: Path) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, decompressed when its name ends in .gz, .zst or .zip (of one file).

    Raises:
        InputError: it is missing, unreadable or damaged, or the archive holds another number of files.
    """
    try:
        with ExitStack() as opened:
            yield decompressed(file, opened)
    except FileNotFoundError as fault:
        raise InputError("the file does not exist", file=file, remedy="give the right path") from fault
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, lzma.LZMAError, zlib.error) as fault:
        raise InputError(
            f"the compressed file is damaged ({fault})", file=file, remedy="copy or download it again"
        ) from fault
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            raise  # not about this file: its content is being written elsewhere
        if file.suffix == ".zst" and fault.errno is None:  # how Arrow tells of a damaged frame
            raise InputError(
                f"the compressed file is damaged ({fault})", file=file, remedy="copy or download it again"
            ) from fault
        raise InputError(
            f"the file cannot be read ({fault.strerror or fault})",
            file=file,
            remedy="make it a plain file that this account may read",
        ) from fault


def decompressed(file: Path, opened: ExitStack) -> io.BufferedIOBase:
    """The stream behind `open_raw`, closed with `opened`.

    Raises:
        InputError: a .zip holds no file, or several, or one that is encrypted or packed in an unknown way.
    """
    if file.suffix == ".gz":
        return opened.enter_context(gzip.open(file, "rb"))
    plain = opened.enter_context(file.open("rb"))
    if file.suffix == ".zst":
        return cast(io.BufferedIOBase, opened.enter_context(pa.CompressedInputStream(plain, "zstd")))
    if file.suffix != ".zip":
        return plain
    archive = opened.enter_context(zipfile.ZipFile(plain))
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) != 1:
        raise InputError(
            f"the archive holds {len(members)} files, expected one", file=file, remedy="unpack it, and list its files"
        )
    try:
        return cast(io.BufferedIOBase, opened.enter_context(archive.open(members[0])))
    except RuntimeError as fault:
        raise InputError(
            f"the archive cannot be unpacked ({fault})", file=file, remedy="pack it anew, by deflate and unencrypted"
        ) from fault


def digest_of_raw(file: Path) -> str:
    """SHA-256 of the uncompressed bytes."""
    total = hashlib.sha256()
    with open_raw(file) as stream:
        while chunk := stream.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def verify(file: Path, expected: str, remedy: str, shown: str | None = None) -> None:
    """Compare a file with its expected SHA-256.

    Raises:
        InputError: they differ, or there is no file.
    """
    found = digest_of_raw(file) if file.exists() else "no such file"
    if found != expected:
        raise InputError(
            f"the file is not the one that was verified\n  expected SHA-256: {expected}\n  found:            {found}",
            file=shown or file,
            remedy=remedy,
        )


def locate(folder: Path, name: str) -> Path | None:
    """The file of that name, plain or packed, in the folder or else in one below."""
    return min(located(folder, name), key=lambda file: (len(file.parts), file), default=None)


def located(folder: Path, pattern: str) -> list[Path]:
    """The files of this name or pattern, plain or packed, in the folder or one below; the plain one of two."""
    found: dict[Path, Path] = {}
    for suffix in ("", *PACKED):
        for place in ("", "*/"):
            for file in sorted(folder.glob(f"{place}{pattern}{suffix}")):
                found.setdefault(file.with_name(file.name.removesuffix(suffix)), file)
    return sorted(found.values())


def unpack(archive: Path, target: Path, names: Iterable[str]) -> Path:
    """Write the archive's files of these names to `target`, by these names only, whatever folders it puts them in.

    Raises:
        InputError: it is neither a zip nor a tar archive, or damaged.
    """
    if target.is_dir():
        return target
    try:
        with members(archive) as packed, aside(target) as draft:
            draft.mkdir()
            for name in names:
                found = [member for member in packed if f"/{member}".endswith(f"/{name}")]
                if not found:
                    continue
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                with packed[min(found, key=len)]() as source, (draft / name).open("wb") as unpacked:
                    shutil.copyfileobj(source, unpacked, CHUNK)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, RuntimeError, NotImplementedError) as fault:
        raise InputError(
            f"the archive cannot be unpacked ({fault})", file=archive, remedy="download it again, or give a folder"
        ) from fault
    return target


@contextmanager
def members(archive: Path) -> Iterator[Mapping[str, Callable[[], IO[bytes]]]]:
    """The plain files in a zip or tar archive: the path that it claims for each, and how to open it."""
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tarred:
            files = [member for member in tarred if member.isfile()]
            yield {
                member.name: cast("Callable[[], IO[bytes]]", partial(tarred.extractfile, member)) for member in files
            }
    else:
        with zipfile.ZipFile(archive) as zipped:
            yield {name: partial(zipped.open, name) for name in zipped.namelist()}
