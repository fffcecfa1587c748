"""Feed: a raw file to stage. Bundle: the raw files of a source, how each is laid out, which statement stages it.

Collection: bundles that are obtained together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tasks.queries import Stage
from tasks.sources.registry import RawFile


@dataclass(frozen=True)
class Feed:
    """One raw file to stage: where it lies, how it is laid out, and the statement that types and judges it."""

    file: Path
    form: RawFile
    statement: Stage
    label: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        """What counts and quarantine call the file."""
        return self.label or self.file.name


@dataclass(frozen=True)
class Part:
    """One raw file of a source. Its form's name may be a pattern such as `clicks*.dat`; an optional file may lack."""

    form: RawFile
    statement: Stage
    optional: bool = False

    @property
    def name(self) -> str:
        """The file's name, or a pattern of it."""
        return self.form.name

    def feed(self, file: Path) -> Feed:
        """The file as this part."""
        return Feed(file, self.form, self.statement)


class Kind(Protocol):
    """What a bundle is made of: a `Part`, or a `LogPart` whose columns have roles."""

    @property
    def name(self) -> str: ...
    @property
    def optional(self) -> bool: ...
    def feed(self, file: Path) -> Feed: ...


@dataclass(frozen=True)
class Bundle:
    """A source as its publisher lays it out. A raw file may stand in several parts: one for each table it feeds."""

    name: str
    title: str
    parts: tuple[Kind, ...]
    licence: str
    no_genre: str = ""


@dataclass(frozen=True)
class Collection:
    """Bundles that one source distribution on PyPI carries: opened as an archive, never built, never imported.

    `files` are those that are kept, notices included, with the SHA-256 of each: paths in the archive or their ends.
    """

    name: str
    title: str
    bundles: tuple[Bundle, ...]
    requirement: str
    files: Mapping[str, str]
    licence: str
