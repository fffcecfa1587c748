"""Raw logs -> a corpus folder: staged files, checked tables, splits, quarantine and counts, in one rename."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from rlrec import tables
from rlrec.errors import InputError
from rlrec.splits import WORLD_SLICES, chronological_shares
from tasks import queries
from tasks.artifacts import Artifact, store
from tasks.database import assure, connect, rows_of, run
from tasks.queries import Query
from tasks.sources import Source
from tasks.staging import stage_items, stage_knowledge, stage_ratings
from tasks.tracking import child

NO_GENRE = "unknown"  # u.genre's first entry: says nothing about a film, so it is no category and no fact
YEAR_PATTERN = r"\s*\(([0-9]{4})\)\s*(?:\([A-Za-z]+\))?\s*$"  # "Toy Story (1995)", "... (1995) (V)"


def ingest(source: Source, out: Path, *, positive_from: float = 4.0) -> Artifact:
    """Turn raw files into a corpus folder: checked tables, splits, quarantine, and corpus.json, in one rename.

    Raises:
        InputError: a file cannot be used, or too many of its lines are rejected; nothing is left behind.
    """
    out = out.absolute()
    if out.exists() and not (out / "corpus.json").exists() and (out.is_file() or any(out.iterdir())):
        raise InputError(
            "the output exists and is no corpus, so it is not replaced", file=out, remedy="choose another folder"
        )

    def write(draft: Path) -> int:
        draft.mkdir()
        with (
            tempfile.TemporaryDirectory(prefix=".staging-", dir=draft.parent) as scratch,
            connect(Path(scratch)) as connection,
        ):
            return write_corpus(source, draft, Path(scratch), connection, positive_from)

    return store("corpus", out, write)


def write_corpus(
    source: Source, draft: Path, scratch: Path, connection: duckdb.DuckDBPyConnection, positive_from: float
) -> int:
    """Stage, make the tables, check them, describe them; return the number of events."""
    ratings = stage_ratings(source, scratch, connection)
    items = stage_items(source, scratch, connection)
    links, knowledge = stage_knowledge(source, scratch, connection)
    staged = (ratings, items, links, knowledge)
    path = {table.name: draft / f"{table.name}.parquet" for table in tables.TABLES}
    vocabulary = path["vocabulary"]
    marts: list[tuple[tables.Table, Query]] = [
        (
            tables.VOCABULARY,
            queries.Vocabulary(
                ratings=ratings.rows, items=items.rows, links=links.rows, knowledge=knowledge.rows, no_genre=NO_GENRE
            ),
        ),
        (
            tables.ITEMS,
            queries.Items(items=items.rows, vocabulary=vocabulary, year_pattern=YEAR_PATTERN, no_genre=NO_GENRE),
        ),
        (tables.EVENTS, queries.Events(ratings=ratings.rows, vocabulary=vocabulary)),
        (
            tables.TRIPLES,
            queries.Triples(vocabulary=vocabulary, items=items.rows, links=links.rows, knowledge=knowledge.rows),
        ),
        (tables.QUARANTINE, queries.Quarantine(staged=tuple(part.rows for part in staged))),
    ]
    counts = {table.name: run(query, path[table.name], connection) for table, query in marts}
    splits = chronological_shares(pl.scan_parquet(path["events"]), positive_from=positive_from)
    splits.sink_parquet(path["splits"])
    for table in (*(table for table, _ in marts), tables.SPLITS):
        tables.check(pl.scan_parquet(path[table.name]), table, file=path[table.name].name)
    checks = (
        queries.LostFacts(
            ratings=ratings.rows, knowledge=knowledge.rows, events=path["events"], triples=path["triples"]
        ),
        queries.DenseIds(vocabulary=vocabulary),
        queries.DanglingIds(events=path["events"], items=path["items"], triples=path["triples"], vocabulary=vocabulary),
        queries.DisorderedEvents(events=path["events"]),
        queries.UnsplitEvents(events=path["events"], splits=path["splits"]),
    )
    for check in checks:
        assure(check, connection)
    description = {
        "name": source.name,
        "title": source.title,
        "origin": source.origin,
        "layout": source.layout.name,
        "verified": source.verified,
        "licence": source.licence,
        "knowledge_graph": {"used": source.knowledge is not None, "origin": source.knowledge_origin},
        "positive_from": positive_from,
        "counts": summary_counts(path, counts, positive_from),
        "lines": {part.file: asdict(part.counts) for part in staged if part.counts.lines},
        "quarantine": {
            part.file: rows_of(queries.RejectCounts(staged=part.rows), connection, part.counts.quarantined)
            for part in staged
            if part.counts.quarantined
        },
        "sha256": dict(source.digests),
    }
    (draft / "corpus.json").write_text(json.dumps(description, indent=1, ensure_ascii=False))
    return counts["events"]


def summary_counts(path: Mapping[str, Path], rows: Mapping[str, int], positive_from: float) -> dict[str, int]:
    """Users, items, entities; events, positives and the events of each slice; triples of either origin; quarantine."""
    vocabulary, events, triples, splits = (
        pl.scan_parquet(path[name]) for name in ("vocabulary", "events", "triples", "splits")
    )
    kinds = dict(vocabulary.group_by("kind").len().collect().iter_rows())
    slices = dict(splits.group_by("split").len().collect().iter_rows())
    positive = pl.col("value").is_null() | (pl.col("value") >= positive_from)
    genre = triples.select((pl.col("relation") == "item.genre").sum()).collect().item()
    return {
        "users": kinds["user"],
        "items": rows["items"],
        "entities": kinds.get("entity", 0),
        "events": rows["events"],
        "positives": events.select(positive.sum()).collect().item(),
        **{f"events_{name}": slices.get(name, 0) for name in WORLD_SLICES},
        "triples_genre": genre,
        "triples_knowledge": rows["triples"] - genre,
        "quarantined": rows["quarantine"],
    }


def read_description(corpus: Path) -> dict[str, Any]:
    """What corpus.json says.

    Raises:
        InputError: the folder is no corpus.
    """
    try:
        return json.loads((corpus / "corpus.json").read_text())
    except (OSError, ValueError) as fault:
        raise InputError("the folder is no corpus", file=corpus / "corpus.json", remedy="run rlrec ingest") from fault


def ingest_source(source: Source, positive_from: float, *, target: Path, tracking: str | None = None) -> Artifact:
    """`ingest` as a tracked stage."""
    with child(tracking, "ingest") as run:
        corpus = ingest(source, target, positive_from=positive_from)
        description = read_description(corpus.path)
        run.params({"dataset": source.name, "origin": source.origin, "positive_from": positive_from})
        run.metrics([(f"rows/{name}", float(number), 0) for name, number in description["counts"].items()])
        run.files(corpus.path / "corpus.json")
        return corpus
