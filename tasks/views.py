"""A warehouse's base -> a corpus: a versioned view with filters, splits and dense ids, made anew, never changed."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from rlrec import tables
from rlrec.feedback.propensity import Frequency, estimated, log_loss
from rlrec.filters import Filter, apply
from rlrec.splits import (
    WORLD,
    WORLD_SLICES,
    GlobalTime,
    LeaveOneOut,
    Protocol,
    UserFraction,
    chronological_shares,
    split,
)
from tasks import queries
from tasks.database import BrokenCheckError, assure, connect, run
from tasks.loading import BASE_SCHEMAS, DATABASE
from tasks.manifest import Frozen, Input, Manifest
from tasks.queries import Query
from tasks.sources import Source
from tasks.staging import Counts

CORPUS = "corpus.json"
GENRE = "item.genre"
POSITIVE_FROM = 4.0  # of five stars
EVENTS_AT_ONCE = 2_000_000
BY_USER = (LeaveOneOut, UserFraction)
VIEWED = (tables.VOCABULARY, tables.EVENTS, tables.SPLITS, tables.TRIPLES)


class ViewSettings(Frozen):
    """What a view keeps of the base, and how it is split; the same for every increment."""

    filters: tuple[Filter, ...] = ()
    """Applied in this order; each reports how many events it dropped."""
    splits: tuple[Protocol, ...] = ()
    """Protocols beside the world's chronological one."""
    positive_from: float = POSITIVE_FROM
    """A rating of at least this is positive."""
    no_genre: str = ""
    """The category that says nothing."""
    propensities: Frequency | None = None
    """The model of propensities that the log has not; without it they stay missing."""

    @staticmethod
    def of(source: Source, positive_from: float = POSITIVE_FROM) -> "ViewSettings":
        """What the source asks for."""
        return ViewSettings.model_validate(
            {
                "filters": source.filters,
                "splits": source.splits,
                "positive_from": positive_from,
                "no_genre": source.no_genre,
                "propensities": source.propensities,
            }
        )

    @property
    def digest(self) -> str:
        """Eight digits that tell these settings from others."""
        return hashlib.sha256(self.model_dump_json(exclude_none=True).encode()).hexdigest()[:8]


def write_view(
    warehouse: Path,
    manifest: Manifest,
    draft: Path,
    settings: ViewSettings,
    memory_limit: str,
    notes: Callable[[Mapping[str, int]], Mapping[str, Any]],
) -> int:
    """Fill the folder `draft` with a corpus; return the number of events. `notes` of its counts go into corpus.json.

    Raises:
        InputError: a table does not hold what its schema promises, such as shown items without a time.
        BrokenCheckError: a promise of the warehouse does not hold.
    """
    draft.mkdir()
    with (
        tempfile.TemporaryDirectory(prefix=".view-", dir=draft.parent) as scratch,
        connect(Path(scratch), memory_limit, part=DATABASE) as connection,
    ):
        return View(warehouse, manifest, draft, Path(scratch), connection, settings, notes).write()


class View:
    """One view in the making."""

    def __init__(
        self,
        warehouse: Path,
        manifest: Manifest,
        draft: Path,
        scratch: Path,
        connection: duckdb.DuckDBPyConnection,
        settings: ViewSettings,
        notes: Callable[[Mapping[str, int]], Mapping[str, Any]],
    ) -> None:
        self.warehouse, self.manifest, self.settings, self.notes = warehouse, manifest, settings, notes
        self.draft, self.scratch, self.connection = draft, scratch, connection
        self.rows: dict[str, int] = {}
        self.propensities: dict[str, Any] = {}

    def write(self) -> int:
        """Make the tables in the order in which they stand on each other, check them, describe them."""
        self.make(tables.VOCABULARY, queries.Vocabulary(base=self.base("vocabulary")))
        vocabulary, no_genre = self.path(tables.VOCABULARY), self.settings.no_genre
        self.make(tables.ITEMS, queries.Items(items=self.base("items"), vocabulary=vocabulary, no_genre=no_genre))
        dropped = self.make_events()
        facts, columns = self.scratch / "facts.parquet", empty_base(self.scratch, "triples")
        run(queries.Facts(triples=(*self.base("triples"), str(columns))), facts, self.connection)  # older lack a column
        self.make(
            tables.TRIPLES,
            queries.Triples(
                vocabulary=vocabulary,
                items=self.path(tables.ITEMS),
                knowledge=facts,
                links=self.base("links"),
                linked=self.manifest.links_fit,
            ),
        )
        self.make(tables.QUARANTINE, queries.Quarantine(base=self.base("quarantine")))
        if self.manifest.of("slates"):
            self.make(tables.LOGGED_SLATES, queries.LoggedSlates(base=self.base("slates")))
            self.make(tables.CANDIDATES, queries.Candidates(base=self.base("slates"), vocabulary=vocabulary))
        if self.manifest.of("identifiers"):
            self.make(
                tables.IDENTIFIERS,
                queries.Identifiers(identifiers=self.base("identifiers"), vocabulary=vocabulary),
            )
        if self.manifest.of("dialogues"):
            self.make(tables.DIALOGUES, queries.Dialogues(dialogues=self.base("dialogues"), vocabulary=vocabulary))
        self.make_splits()
        if self.settings.propensities and self.manifest.of("slates"):
            self.estimate_propensities(self.settings.propensities)
        self.check()
        self.describe(dropped)
        return self.rows["events"]

    def path(self, table: tables.Table) -> Path:
        """Where a table of the corpus lies."""
        return self.draft / f"{table.name}.parquet"

    def base(self, table: str) -> tuple[str, ...]:
        """The base's files of a table, or one without rows."""
        files = tuple(str(self.warehouse / file.path) for file in self.manifest.of(table))
        return files or (str(empty_base(self.scratch, table)),)

    def make(self, table: tables.Table, query: Query) -> None:
        """Write one table and check it against its schema."""
        self.rows[table.name] = run(query, self.path(table), self.connection)
        unique = table is not tables.TRIPLES  # made distinct, and too many to be held in memory
        tables.check(pl.scan_parquet(self.path(table)), table, file=self.path(table).name, unique=unique)

    def make_events(self) -> list[dict[str, Any]]:
        """EVENTS after the filters, and what each of them dropped."""
        whole = self.scratch / "events.parquet"
        total = run(queries.Events(base=self.base("events")), whole, self.connection)
        kept, dropped = apply(pl.scan_parquet(whole), self.settings.filters, self.scratch)
        kept.select(list(tables.EVENTS.schema)).sink_parquet(self.path(tables.EVENTS))
        rows = pl.scan_parquet(self.path(tables.EVENTS)).select(pl.len()).collect().item()
        lost = total - rows - sum(part.rows for part in dropped)
        if lost:
            raise BrokenCheckError(f"{lost} of {total} events were neither kept nor dropped by a filter")
        tables.check(pl.scan_parquet(self.path(tables.EVENTS)), tables.EVENTS, file="events.parquet")
        self.rows["events"] = rows
        return [{"filter": part.filter, "rows": part.rows} for part in dropped]

    def make_splits(self) -> None:
        """SPLITS: the world's chronological protocol and the ones asked for, each placing every event once."""
        events = pl.scan_parquet(self.path(tables.EVENTS))
        if not self.rows["events"]:
            pl.DataFrame(schema=tables.SPLITS.schema).write_parquet(self.path(tables.SPLITS))
            return
        protocols = [
            lambda some: chronological_shares(some, positive_from=self.settings.positive_from),
            *(partial(split, chosen=protocol) for protocol in self.settings.splits),
        ]
        by_user = [True, *(isinstance(protocol, BY_USER) for protocol in self.settings.splits)]
        chunks = self.chunks(events)
        parts: list[Path] = []
        for place, alone in zip(protocols, by_user, strict=True):
            for some in chunks if alone else [events]:
                parts.append(self.scratch / f"splits{len(parts)}.parquet")
                place(some).sink_parquet(parts[-1])
        pl.scan_parquet(parts).sink_parquet(self.path(tables.SPLITS))
        splits = pl.scan_parquet(self.path(tables.SPLITS))
        tables.check(splits, tables.SPLITS, file="splits.parquet", unique=False)  # UnsplitEvents counts them

    def estimate_propensities(self, recipe: Frequency) -> None:
        """Fill LOGGED_SLATES where nothing was recorded; a split at one moment ends what is learned from."""
        file, filled, until = self.path(tables.LOGGED_SLATES), self.scratch / "filled.parquet", None
        moments = [protocol.protocol for protocol in self.settings.splits if isinstance(protocol, GlobalTime)]
        if moments:
            out = pl.scan_parquet(self.path(tables.SPLITS)).filter(
                pl.col("protocol").is_in(moments) & (pl.col("split") != "train")
            )
            held = pl.scan_parquet(self.path(tables.EVENTS)).join(out, on="event", how="semi")
            until = held.select(pl.col("at").min()).collect().item()
        candidates = pl.scan_parquet(self.path(tables.CANDIDATES))
        estimated(pl.scan_parquet(file), recipe, self.rows["items"], candidates, until).sink_parquet(filled)
        tables.check(pl.scan_parquet(filled), tables.LOGGED_SLATES, file=file.name)
        shutil.move(filled, file)
        slates = pl.scan_parquet(file)
        sources = slates.group_by("propensity_source").len().sort("propensity_source").collect()
        self.propensities = {
            **recipe.model_dump(mode="json"),
            "fitted_until": until.isoformat() if until else None,
            "rows": dict(sources.iter_rows()),
            "log_loss": log_loss(slates),
        }

    def chunks(self, events: pl.LazyFrame) -> list[pl.LazyFrame]:
        """The events of some users at a time, so that what goes user by user fits into memory.

        One chunk where there are no times: their order is drawn for all at once.
        """
        untimed = events.select(pl.col("at").null_count()).collect().item()
        count = 1 if untimed else -(-self.rows["events"] // EVENTS_AT_ONCE)
        return [events.filter(pl.col("user") % count == rest) for rest in range(count)]

    def check(self) -> None:
        """Promises across tables."""
        events, items, triples, vocabulary, splits = (
            self.path(table)
            for table in (tables.EVENTS, tables.ITEMS, tables.TRIPLES, tables.VOCABULARY, tables.SPLITS)
        )
        checks: Sequence[Query] = (
            queries.DenseIds(vocabulary=vocabulary),
            queries.DanglingIds(events=events, items=items, triples=triples, vocabulary=vocabulary),
            queries.DisorderedEvents(events=events),
            queries.UnsplitEvents(events=events, splits=splits),
        )
        for check in checks:
            assure(check, self.connection)

    def describe(self, dropped: list[dict[str, Any]]) -> None:
        """corpus.json: what the corpus holds, from which generation of the warehouse, and the conservation law."""
        manifest, named, counts = self.manifest, by_name(self.manifest.inputs), self.counts()
        description = {
            "name": manifest.name,
            "title": manifest.title,
            "licence": manifest.licence,
            "generation": manifest.generation,
            "positive_from": self.settings.positive_from,
            "view": self.settings.model_dump(mode="json"),
            "counts": counts,
            "lines": {name: counts_of(part) for name, part in named.items()},
            "quarantine": {
                name: [TypeAdapter(type(reason)).dump_python(reason) for reason in part.reasons]
                for name, part in named.items()
                if part.reasons
            },
            "dropped": dropped,
            **({"propensities": self.propensities} if self.propensities else {}),
            "sha256": {part.name: part.sha256 for part in manifest.inputs},
            **self.notes(counts),
        }
        (self.draft / CORPUS).write_text(json.dumps(description, indent=1, ensure_ascii=False), encoding="utf-8")

    def counts(self) -> dict[str, int]:
        """Users, items, entities; events, positives, the events of each slice; triples of either origin; quarantine."""
        scan = {table.name: pl.scan_parquet(self.path(table)) for table in VIEWED}
        kinds = dict(scan["vocabulary"].group_by("kind").len().collect().iter_rows())
        world = scan["splits"].filter(pl.col("protocol") == WORLD)
        slices = dict(world.group_by("split").len().collect().iter_rows())
        positive = pl.col("value").is_null() | (pl.col("value") >= self.settings.positive_from)
        genre = scan["triples"].select((pl.col("relation") == GENRE).sum()).collect().item()
        facts = scan["triples"].filter(pl.col("relation") != GENRE)
        linked = pl.concat(
            facts.filter(pl.col(f"{end}_kind") == "item").select(item=pl.col(end)) for end in ("head", "tail")
        ).unique()
        return {
            "users": kinds.get("user", 0),
            "items": self.rows["items"],
            "entities": kinds.get("entity", 0),
            "sessions": kinds.get("session", 0),
            "events": self.rows["events"],
            "positives": scan["events"].select(positive.sum()).collect().item(),
            **{f"events_{name}": slices.get(name, 0) for name in WORLD_SLICES},
            "triples_genre": genre,
            "triples_knowledge": self.rows["triples"] - genre,
            "items_linked": linked.collect().height,
            "shown_items": self.rows.get("logged_slates", 0),
            "utterances": self.rows.get("dialogues", 0),
            "quarantined": sum(part.counts.quarantined for part in self.manifest.inputs),
        }


def by_name(inputs: Sequence[Input]) -> dict[str, Input]:
    """Inputs by the names of their files; a name that several have is told apart by table and number."""
    often = Counter(part.name for part in inputs)
    return {
        part.name if often[part.name] == 1 else f"{part.name} ({part.table} {part.number})": part for part in inputs
    }


def counts_of(part: Input) -> dict[str, Any]:
    """An input's counts as plain values."""
    return TypeAdapter(Counts).dump_python(part.counts)


def empty_base(scratch: Path, table: str) -> Path:
    """A file of the base without rows."""
    file = scratch / f"empty-{table}.parquet"
    if not file.exists():
        pq.write_table(BASE_SCHEMAS[table].empty_table(), file)
    return file
