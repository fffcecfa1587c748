"""A raw file of a public source, from its lines to staged rows."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasks.database import connect
from tasks.sources import fetch
from tasks.staging import Counts, stage

JUDGED = {"line", "rejected_column", "reason", "filter", "bucket", "feed", "place"}


@dataclass(frozen=True)
class Outcome:
    """What became of one file under one statement; `rows` are the accepted ones without what staging adds."""

    table: str
    counts: Counts
    rows: list[tuple[object, ...]]
    rejects: list[tuple[int, str | None, str]]


def staged(source: str, folder: Path, files: dict[str, str]) -> list[Outcome]:
    """Write the files, and stage every part of the source that they are, in the order of the bundle."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    found: list[Outcome] = []
    with connect(folder) as connection:
        for number, feed in enumerate(fetch(source, folder).feeds):
            done = stage(feed, folder / f"staged{number}", connection, max_reject_share=1.0)
            accepted = pl.col("reason").is_null() & pl.col("filter").is_null()
            rows = pl.read_parquet(done.rows).filter(accepted).sort("line", maintain_order=True)
            rejects = pl.read_parquet(done.rejects).select("line", "column", "reason").sort("line")
            found.append(Outcome(done.table, done.counts, rows.drop(JUDGED, strict=False).rows(), rejects.rows()))
    return found
