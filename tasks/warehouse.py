"""Raw logs -> a corpus folder: staged files, checked tables, splits, quarantine and counts, in one rename."""

import json
import logging
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
from tasks.linkage import LEAST_SCORE, Agreement, agreement
from tasks.queries import Query
from tasks.sources import Source
from tasks.staging import Staged, stage_items, stage_knowledge, stage_ratings

log = logging.getLogger(__name__)

NO_GENRE = "unknown"  # u.genre's first entry: says nothing about a film, so it is no category and no fact
YEAR_PATTERN = r"\s*\(([0-9]{4})\)\s*(?:\([A-Za-z]+\))?\s*$"  # "Toy Story (1995)", "... (1995) (V)"
ORIGIN = "origin.json"
GENRES_ONLY, GENRES_AND_FACTS = "genres only", "genres and facts"
MEASURED = ("shared", "any_two", "score")


def ingest(source: Source, out: Path, *, positive_from: float = 4.0) -> Artifact:
    """Turn raw files into a corpus folder: checked tables, splits, quarantine, and corpus.json, in one rename.

    Where the files lay stands in `ORIGIN`, apart from the digest: the same files give the same corpus anywhere.

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

    return store("corpus", out, write, apart={ORIGIN})


def write_corpus(
    source: Source, draft: Path, scratch: Path, connection: duckdb.DuckDBPyConnection, positive_from: float
) -> int:
    """Stage, make the tables, check them, describe them; return the number of events."""
    ratings = stage_ratings(source, scratch, connection)
    items = stage_items(source, scratch, connection)
    links, knowledge = stage_knowledge(source, scratch, connection)
    staged = (ratings, items, links, knowledge)
    found = agreement(items.rows, links.rows, knowledge.rows, scratch, connection, no_genre=NO_GENRE)
    linked = source.links is not None and found.fits
    path = {table.name: draft / f"{table.name}.parquet" for table in tables.TABLES}
    vocabulary = path["vocabulary"]
    marts: list[tuple[tables.Table, Query]] = [
        (
            tables.VOCABULARY,
            queries.Vocabulary(
                ratings=ratings.rows,
                items=items.rows,
                links=links.rows,
                knowledge=knowledge.rows,
                no_genre=NO_GENRE,
                linked=linked,
            ),
        ),
        (
            tables.ITEMS,
            queries.Items(items=items.rows, vocabulary=vocabulary, year_pattern=YEAR_PATTERN, no_genre=NO_GENRE),
        ),
        (tables.EVENTS, queries.Events(ratings=ratings.rows, vocabulary=vocabulary)),
        (
            tables.TRIPLES,
            queries.Triples(
                vocabulary=vocabulary, items=items.rows, links=links.rows, knowledge=knowledge.rows, linked=linked
            ),
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
    numbers = summary_counts(path, counts, positive_from)
    description = {
        "name": source.name,
        "title": source.title,
        "layout": source.layout.name,
        "verified": source.verified,
        "licence": source.licence,
        "knowledge_graph": describe_graph(source, knowledge, links, found, numbers),
        "positive_from": positive_from,
        "counts": numbers,
        "lines": {part.file: asdict(part.counts) for part in staged if part.counts.lines},
        "quarantine": {
            part.file: rows_of(queries.RejectCounts(staged=part.rows), connection, part.counts.quarantined)
            for part in staged
            if part.counts.quarantined
        },
        "sha256": dict(source.digests),
    }
    origin = {"origin": source.origin, "knowledge_graph_origin": source.knowledge_origin}
    for name, content in (("corpus.json", description), (ORIGIN, origin)):
        (draft / name).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    return counts["events"]


def describe_graph(
    source: Source, knowledge: Staged, links: Staged, found: Agreement, numbers: Mapping[str, int]
) -> dict[str, Any]:
    """What of the knowledge graph is used, why as a sentence, and what was measured."""
    if source.links is None:
        return {"used": GENRES_ONLY, "why": "No knowledge graph was at hand.", "agreement": None}
    facts, joined = knowledge.counts.accepted, f"{numbers['items_linked']:,} of {numbers['items']:,} items"
    measured = (
        f"Items that share a node of the graph have a genre cosine of {found.shared:.3f}, any two linked items "
        f"{found.any_two:.3f}"
        if found.score is not None
        else ""
    )
    if not found.fits:
        why = (
            f"The {links.counts.accepted:,} links in {source.links_form.name} do not fit these items, so no item is "
            f"joined to the {facts:,} facts. {measured}: {found.score:.1f} standard deviations above chance, "
            f"{LEAST_SCORE:g} are needed. The links probably carry the item ids of another dataset."
        )
        log.warning("knowledge graph: %s", why)
    elif found.score is None:
        why = (
            f"{facts:,} facts join {joined}. Whether the links fit could not be measured: {found.pairs:,} pairs of "
            "items with a genre share a node."
        )
    else:
        why = f"{facts:,} facts join {joined}. {measured}: {found.score:.1f} standard deviations above chance."
    return {
        "used": GENRES_AND_FACTS if found.fits else GENRES_ONLY,
        "why": why,
        "agreement": {"pairs": found.pairs, **{name: rounded(getattr(found, name)) for name in MEASURED}},
    }


def rounded(value: float | None) -> float | None:
    """To the digits that do not depend on the machine."""
    return None if value is None else round(value, 4)


def summary_counts(path: Mapping[str, Path], rows: Mapping[str, int], positive_from: float) -> dict[str, int]:
    """Users, items, entities; events, positives and the events of each slice; triples of either origin; quarantine."""
    vocabulary, events, triples, splits = (
        pl.scan_parquet(path[name]) for name in ("vocabulary", "events", "triples", "splits")
    )
    kinds = dict(vocabulary.group_by("kind").len().collect().iter_rows())
    slices = dict(splits.group_by("split").len().collect().iter_rows())
    positive = pl.col("value").is_null() | (pl.col("value") >= positive_from)
    genre = triples.select((pl.col("relation") == "item.genre").sum()).collect().item()
    facts = triples.filter(pl.col("relation") != "item.genre")
    linked = pl.concat(
        facts.filter(pl.col(f"{end}_kind") == "item").select(item=pl.col(end)) for end in ("head", "tail")
    ).unique()
    return {
        "users": kinds["user"],
        "items": rows["items"],
        "entities": kinds.get("entity", 0),
        "events": rows["events"],
        "positives": events.select(positive.sum()).collect().item(),
        **{f"events_{name}": slices.get(name, 0) for name in WORLD_SLICES},
        "triples_genre": genre,
        "triples_knowledge": rows["triples"] - genre,
        "items_linked": linked.collect().height,
        "quarantined": rows["quarantine"],
    }


def read_description(corpus: Path) -> dict[str, Any]:
    """What corpus.json says, and where the files lay.

    Raises:
        InputError: the folder is no corpus.
    """
    try:
        return {
            name: value
            for file in ("corpus.json", ORIGIN)
            for name, value in json.loads((corpus / file).read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError) as fault:
        raise InputError("the folder is no corpus", file=corpus / "corpus.json", remedy="run rlrec ingest") from fault


def ingest_source(source: Source, positive_from: float, *, target: Path, tracking: str | None = None) -> Artifact:
    """`ingest` as a tracked stage."""
    from tasks.tracking import child  # here, so that `rlrec ingest` does not wait seconds for mlflow

    with child(tracking, "ingest") as run:
        corpus = ingest(source, target, positive_from=positive_from)
        description = read_description(corpus.path)
        run.params({"dataset": source.name, "origin": source.origin, "positive_from": positive_from})
        run.metrics([(f"rows/{name}", float(number), 0) for name, number in description["counts"].items()])
        run.files(corpus.path / "corpus.json")
        return corpus
