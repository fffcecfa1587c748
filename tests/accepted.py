"""What staging makes of a file's records, names as text."""

import duckdb
import polars as pl

from tasks.blocks import Reader
from tasks.sources.catalogue import Feed
from tasks.staging import accepted_rows, judged


def judged_of(feed: Feed, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """All rows, with what becomes of each, in the order of the file."""
    found = [pl.DataFrame(rows) for block in Reader(feed.file, feed.form) for rows in judged(feed, block, connection)]
    return pl.concat(found).sort("line", "place", maintain_order=True)


def accepted_of(feed: Feed, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The accepted ones, with the columns of their table."""
    rows = judged_of(feed, connection).to_arrow(compat_level=pl.CompatLevel.oldest())
    return pl.DataFrame(accepted_rows(feed, rows))
