"""What staging accepts of a file."""

import duckdb
import polars as pl

from tasks.blocks import Reader
from tasks.sources.catalogue import Feed
from tasks.staging import accepted_rows, judged


def accepted_of(feed: Feed, connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """What staging accepts of a file, names as text, in the order of the file."""
    found = [
        pl.DataFrame(accepted_rows(feed, rows))
        for block in Reader(feed.file, feed.form)
        for rows in judged(feed, block, connection)
    ]
    return pl.concat(found).sort("line", "place", maintain_order=True)
