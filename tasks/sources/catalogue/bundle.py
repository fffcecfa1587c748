"""Bundle: the raw files of one source, how each is laid out and which statement stages it."""

from dataclasses import dataclass

from tasks.queries import Stage
from tasks.sources.registry import RawFile


@dataclass(frozen=True)
class Part:
    """One raw file of a source. Its form's name may be a pattern such as `clicks*.dat`; an optional file may lack."""

    form: RawFile
    statement: Stage
    optional: bool = False


@dataclass(frozen=True)
class Bundle:
    """A source as its publisher lays it out. A raw file may stand in several parts: one for each table it feeds."""

    name: str
    title: str
    parts: tuple[Part, ...]
    licence: str
