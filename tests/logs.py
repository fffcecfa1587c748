"""Somebody's own logs: small csv files as sources, and what a warehouse holds of them, told by external ids only."""

import csv
import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from rlrec.corpus import Corpus
from rlrec.tables import EVENTS, VOCABULARY
from tasks.manifest import Manifest, read_manifest
from tasks.sources import Source
from tasks.sources.catalogue import Feed
from tasks.sources.mapping import Columns, Time
from tasks.sources.mapping import Source as Log

HEADER = ("who", "visit", "what", "how", "when")
BEHAVIOURS = ("view", "cart")
DAY = 86_400
FIRST_DAY = 1_700_006_400  # midnight, UTC
UNICODE_USERS = (
    "Zoë",
    "日本語の人",
    "😀😀😀😀",
    "कखगघ",
    "a/b",
    "a",
    "9" * 40,
    "0007",
    "7",
    "x'; drop table events; --",
)
Row = tuple[str, str, str, str, int]

LOG = Log(
    files="*.csv",
    columns=Columns(user="who", session="visit", item="what", behaviour="how", time="when"),
    time=Time(unit="s"),
    behaviours={name: name for name in BEHAVIOURS},
)


def day_of_log(day: int, rows: int, *, seed: int = 0, users: int = 40) -> list[Row]:
    """One day's rows in no order, some of them twice; later days bring new users and items."""
    draw = random.Random(1000 * seed + day)
    names = [*UNICODE_USERS, *(f"user{number}" for number in range(users + 5 * day))]
    made = [
        (
            draw.choice(names),
            draw.choice(["", "morning", "b/evening"]),
            f"item {draw.randrange(30 + 3 * day)}",
            draw.choice(BEHAVIOURS),
            FIRST_DAY + day * DAY + draw.randrange(DAY),
        )
        for _ in range(rows)
    ]
    return draw.sample([*made, *made[: rows // 20]], rows + rows // 20)


def write_log(file: Path, rows: Sequence[Row], bad: Sequence[str] = ()) -> Path:
    """The rows as a csv file, bad lines at the end."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([HEADER, *rows])
        stream.writelines(f"{line}\n" for line in bad)
    return file


def source_of(*files: Path, max_reject_share: float = 0.5, grain: str | None = "day") -> Source:
    """These files as one source."""
    feeds = []
    for file in files:
        form = LOG.form(file)
        feeds.append(Feed(file, form, LOG.statement(form)))
    return Source(
        "logs", "own logs", tuple(feeds), "tests", "none", grain=grain, max_reject_share=max_reject_share,
        filters=({"filter": "exact_duplicates"},),
    )  # fmt: skip


def manifest_of(warehouse: Path) -> Manifest:
    """The manifest of a warehouse that is there."""
    manifest = read_manifest(warehouse)
    assert manifest is not None
    return manifest


def ids_of(warehouse: Path) -> dict[tuple[str, str], int]:
    """(kind, external) -> dense id."""
    rows = Corpus.of(warehouse).scan(VOCABULARY).select("kind", "external", "id").collect()
    return {(kind, external): dense for kind, external, dense in rows.iter_rows()}


def external_events(warehouse: Path) -> pl.DataFrame:
    """The newest corpus's events under external ids, sorted."""
    corpus = Corpus.of(warehouse)
    events = corpus.scan(EVENTS).drop("event")
    for kind in ("user", "item", "session"):
        names = corpus.scan(VOCABULARY).filter(pl.col("kind") == kind).select(pl.col("id").cast(pl.Int64), "external")
        events = (
            events.with_columns(pl.col(kind).cast(pl.Int64))
            .join(names, left_on=kind, right_on="id", how="left")
            .drop(kind)
            .rename({"external": kind})
        )
    return events.select(sorted(events.collect_schema())).collect().sort(pl.all())


def files_of(warehouse: Path) -> dict[str, tuple[int, int]]:
    """Path -> (modification time, size) of every data file, named by the manifest or not."""
    found = sorted((warehouse / "base").rglob("*.parquet"))
    return {
        file.relative_to(warehouse).as_posix(): (file.stat().st_mtime_ns, file.stat().st_size) for file in found
    }  # fmt: skip


def assert_sound(warehouse: Path) -> Manifest:
    """Every file that the manifest names is there with its rows, and no row of an input is missing."""
    manifest = manifest_of(warehouse)
    for file in manifest.files:
        assert pl.scan_parquet(warehouse / file.path).select(pl.len()).collect().item() == file.rows, file.path
    for part in manifest.inputs:
        counts = part.counts
        assert counts.lines == counts.header + counts.blank + counts.continued + counts.read
        assert counts.rows == counts.accepted + counts.quarantined + sum(counts.dropped.values())
    for table in ("events", "slates", "items", "triples", "links"):
        assert sum(file.rows for file in manifest.of(table)) == manifest.accepted(table)
    assert sum(file.rows for file in manifest.of("quarantine")) == sum(
        part.counts.quarantined for part in manifest.inputs
    )
    return manifest
