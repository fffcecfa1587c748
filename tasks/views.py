"""A warehouse's base -> a corpus: a versioned view with filters, splits and dense ids, made anew, never changed."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from rlrec import tables
from rlrec.corpus import Corpus
from rlrec.feedback.propensity import Model
from rlrec.filters import Filter, apply
from rlrec.passes import Events, stored
from rlrec.splits import WORLD, WORLD_SLICES, Protocol, chronological_shares, split, untimed
from tasks import queries
from tasks.database import BrokenCheckError, assure, connect, run
from tasks.loading import BASE_SCHEMAS
from tasks.manifest import Frozen, Input, Manifest
from tasks.propensities import fill_propensities, sources
from tasks.queries import Query
from tasks.sources import Source
from tasks.staging import Counts

CORPUS = "corpus.json"
GENRE = "item.genre"
POSITIVE_FROM = 4.0  # of five stars
PART = 0.5  # of the memory limit, for the database; the rest for batches of events and numbers by user, item, session
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
    propensities: Model | None = None
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
        connect(Path(scratch), memory_limit, part=PART) as connection,
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
        self.make(tables.VOCABULARY, queries.Vocabulary(base=self.base("vocabulary")), unique=False)
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
            unique=False,  # made distinct, and too many to be held in memory
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
        if self.manifest.of("slates"):
            self.settle_propensities()
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

    def make(self, table: tables.Table, query: Query, *, unique: bool = True) -> None:
        """Write one table and check it against its schema; a `unique` key is looked for in memory."""
        self.rows[table.name] = run(query, self.path(table), self.connection)
        tables.check(pl.scan_parquet(self.path(table)), table, file=self.path(table).name, unique=unique)

    def make_events(self) -> list[dict[str, Any]]:
        """EVENTS after the filters, and what each of them dropped."""
        query, filters = queries.Events(base=self.base("events")), self.settings.filters
        target, columns = self.path(tables.EVENTS), list(tables.EVENTS.columns)
        if not filters:
            self.rows["events"] = run(query, target, self.connection, columns)
            tables.check(pl.scan_parquet(target), tables.EVENTS, file=target.name, unique=False)
            return []
        whole = self.scratch / "events.parquet"
        total = run(query, whole, self.connection)
        kept, rows = apply(stored(whole), filters, self.distinct)
        self.rows["events"] = write_batches((batch.select(columns) for batch in kept()), tables.EVENTS, target)
        whole.unlink()
        if (rows[0], rows[len(filters)]) != (total, self.rows["events"]):
            raise BrokenCheckError(f"of {total} events {rows} passed the filters, {self.rows['events']} are stored")
        return [
            {"filter": chosen.filter, "rows": rows[place] - rows[place + 1]} for place, chosen in enumerate(filters)
        ]

    def distinct(self, events: Events) -> Events:
        """Each pair of user and item once."""
        seen, pairs = self.scratch / "seen.parquet", self.scratch / "pairs.parquet"
        columns = {name: tables.EVENTS.columns[name] for name in ("user", "item")}
        write_batches(
            (batch.select(*columns) for batch in events(*columns)), tables.Table("pairs", columns, key=()), seen
        )
        run(queries.DistinctPairs(events=seen), pairs, self.connection)
        return stored(pairs)

    def make_splits(self) -> None:
        """SPLITS: the world's chronological protocol and the ones asked for, each placing every event once."""
        events = stored(self.path(tables.EVENTS))
        asked = (split(events, protocol) for protocol in self.settings.splits)
        write_batches(chain(self.world(events), *asked), tables.SPLITS, self.path(tables.SPLITS))

    def world(self, events: Events) -> Iterator[pl.DataFrame]:
        """The world's protocol; where there are no times, an order that is drawn stands for theirs."""
        place = partial(chronological_shares, positive_from=self.settings.positive_from)
        if not untimed(events):
            return place(events)
        shuffled, placed, ordered = (self.scratch / f"{name}.parquet" for name in ("shuffled", "placed", "ordered"))
        run(queries.ShuffledEvents(events=self.path(tables.EVENTS), seed=0), shuffled, self.connection)
        write_batches(place(stored(shuffled)), tables.SPLITS, placed)
        run(queries.OrderedSplits(splits=placed), ordered, self.connection)
        return stored(ordered)()

    def settle_propensities(self) -> None:
        """Have the propensities that nothing recorded estimated, if the settings ask for it; say what there are."""
        tables, recipe = Corpus.of(self.draft), self.settings.propensities
        if recipe:
            self.propensities = fill_propensities(tables, recipe, self.rows["items"], self.scratch, self.connection)
        self.propensities["rows"] = sources(tables)

    def check(self) -> None:
        """Promises across tables."""
        events, items, triples, vocabulary, splits = (
            self.path(table)
            for table in (tables.EVENTS, tables.ITEMS, tables.TRIPLES, tables.VOCABULARY, tables.SPLITS)
        )
        slates = [self.path(tables.LOGGED_SLATES)] if self.manifest.of("slates") else []
        checks: Sequence[Query] = (
            queries.DenseIds(vocabulary=vocabulary),
            queries.RepeatedNames(vocabulary=vocabulary),
            queries.DanglingIds(events=events, items=items, triples=triples, vocabulary=vocabulary),
            queries.DisorderedEvents(events=events),
            queries.UnsplitEvents(events=events, splits=splits),
            *(queries.DanglingActions(slates=file, vocabulary=vocabulary) for file in slates),
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


def write_batches(batches: Iterable[pl.DataFrame], table: tables.Table, target: Path) -> int:
    """Write a table batch by batch, each checked against the schema; return the number of rows."""
    rows, schema = 0, pl.DataFrame(schema=table.schema).to_arrow().schema
    growing = [name for name in table.columns if name == "event"]
    with pq.ParquetWriter(
        target,
        schema,
        compression="zstd",
        use_dictionary=[name for name in table.columns if name not in growing],  # pyright: ignore[reportArgumentType] - the stub knows no lists
        column_encoding=dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    ) as file:
        for batch in batches:
            tables.check(batch, table, file=target.name, unique=False)
            file.write_table(batch.to_arrow())
            rows += batch.height
    return rows


def empty_base(scratch: Path, table: str) -> Path:
    """A file of the base without rows."""
    file = scratch / f"empty-{table}.parquet"
    if not file.exists():
        pq.write_table(BASE_SCHEMAS[table].empty_table(), file)
    return file
