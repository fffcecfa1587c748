"""Somebody's own logs, from text to staged rows."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasks.database import connect
from tasks.sources.mapping import load_mapping
from tasks.staging import Counts, stage
from tests.accepted import accepted_of


@dataclass(frozen=True)
class Understood:
    """What became of one file's records."""

    counts: Counts
    accepted: pl.DataFrame
    rejects: list[tuple[int, str | None, str]]


def stage_own(mapping: Path, most: float | None = 1.0) -> Understood:
    """Stage the mapping's one file."""
    (feed,) = load_mapping(mapping).feeds()
    out = mapping.parent / "staged"
    with connect(mapping.parent) as connection:
        staged = stage(feed, out, connection, max_reject_share=most)
        accepted = accepted_of(feed, connection)
    rejects = pl.read_parquet(staged.rejects).select("line", "column", "reason").sort("line").rows()
    return Understood(staged.counts, accepted, rejects)


def write_own(folder: Path, content: str | bytes, toml: str, name: str = "log.csv") -> Path:
    """A file and its mapping."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    mapping = folder / "own.toml"
    mapping.write_text(f'[[source]]\nfiles = "{name}"\n{toml}', encoding="utf-8")
    return mapping
