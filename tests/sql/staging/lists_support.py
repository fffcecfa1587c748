"""One raw file through one staging statement."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tasks.database import connect
from tasks.queries import Stage
from tasks.sources.catalogue import Feed
from tasks.sources.registry import RawFile
from tasks.staging import Counts, stage
from tests.accepted import accepted_of


@dataclass(frozen=True)
class Understood:
    """What became of a file: its counts, the accepted rows in order, and (line, column, reason) of each reject."""

    counts: Counts
    rows: pl.DataFrame
    rejects: list[tuple[int, str | None, str]]

    def told(self, *columns: str) -> list[tuple]:
        """These columns of the accepted rows."""
        return self.rows.select(columns).rows()


def staged(form: RawFile, statement: Stage, content: str | Path, folder: Path, most: float = 1.0) -> Understood:
    """Stage this text, or the file at this path."""
    file = folder / form.name if isinstance(content, str) else content
    if isinstance(content, str):
        file.write_text(content, encoding=form.encoding)
    out = folder / f"staged{len(list(folder.iterdir()))}"
    feed = Feed(file, form, statement)
    with connect(folder) as connection:
        found = stage(feed, out, connection, max_reject_share=most)
        rows = accepted_of(feed, connection)
    order = [name for name in ("line", "place", "turn") if name in rows.columns]
    rejects = pl.read_parquet(found.rejects).select("line", "column", "reason").sort("line", maintain_order=True)
    return Understood(found.counts, rows.sort(order, maintain_order=True), rejects.rows())
