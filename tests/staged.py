"""Raw files of public sources, from lines as the publisher writes them to staged rows."""

from pathlib import Path

import polars as pl

from tasks.database import connect
from tasks.sources import fetch
from tasks.staging import stage
from tests.accepted import accepted_of
from tests.own import Understood

JUDGEMENT = ("line", "feed", "place")
FACT = ("head_kind", "head_external", "relation", "tail_kind", "tail_external")


def stage_source(name: str, raw: Path, scratch: Path) -> list[Understood]:
    """What became of each feed of the source, in order."""
    understood: list[Understood] = []
    with connect(scratch) as connection:
        for place, feed in enumerate(fetch(name, raw).feeds):
            done = stage(feed, scratch / f"staged{place}", connection, max_reject_share=1.0)
            rejects = pl.read_parquet(done.rejects).select("line", "column", "reason").sort("line").rows()
            understood.append(Understood(done.counts, accepted_of(feed, connection), rejects))
    return understood


def stage_lines(name: str, folder: Path, **files: list[str]) -> list[Understood]:
    """The same for files of these lines; two underscores stand for the dot in a file's name."""
    raw = folder / "raw"
    raw.mkdir()
    for file, lines in files.items():
        (raw / file.replace("__", ".")).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return stage_source(name, raw, folder)


def staged(name: str, folder: Path, files: dict[str, str]) -> list[Understood]:
    """The same for files of this text, by their paths in the folder."""
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return stage_source(name, folder, folder)


def told(understood: Understood, *columns: str) -> list[tuple]:
    """The accepted rows' columns; by default, all of the table's; of facts, those that always hold."""
    whole = FACT if "head_kind" in understood.accepted.columns else pl.exclude(JUDGEMENT)
    return understood.accepted.select(columns or whole).rows()
