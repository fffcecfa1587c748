"""Raw files of public sources, from lines as the publisher writes them to staged rows."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasks.database import connect
from tasks.sources import fetch
from tasks.staging import Counts, stage
from tests.own import Understood

JUDGEMENT = ("line", "rejected_column", "reason", "filter", "bucket", "feed", "place")


def stage_source(name: str, raw: Path, scratch: Path) -> list[Understood]:
    """What became of each feed of the source, in order."""
    understood: list[Understood] = []
    with connect(scratch) as connection:
        for place, feed in enumerate(fetch(name, raw).feeds):
            staged = stage(feed, scratch / f"staged{place}", connection, max_reject_share=1.0)
            rows = pl.read_parquet(staged.rows).sort("line", "place")
            rejects = pl.read_parquet(staged.rejects).select("line", "column", "reason").sort("line").rows()
            accepted = rows.filter(pl.col("reason").is_null() & pl.col("filter").is_null())
            understood.append(Understood(staged.counts, accepted, rejects))
    return understood


def stage_lines(name: str, folder: Path, **files: list[str]) -> list[Understood]:
    """The same for files of these lines; two underscores stand for the dot in a file's name."""
    raw = folder / "raw"
    raw.mkdir()
    for file, lines in files.items():
        (raw / file.replace("__", ".")).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return stage_source(name, raw, folder)


def told(understood: Understood, *columns: str) -> list[tuple]:
    """The accepted rows' columns; by default, all of the table's."""
    return understood.accepted.select(columns or pl.exclude(JUDGEMENT)).rows()


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
            found.append(Outcome(done.table, done.counts, rows.drop(JUDGEMENT, strict=False).rows(), rejects.rows()))
    return found
