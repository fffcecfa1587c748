"""Corpus: folders of checked tables, read lazily; Vocabulary; Catalogue."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from rlrec.errors import InputError
from rlrec.tables import ITEMS, VOCABULARY, Table

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Vocabulary:
    """External id <-> dense integer of one kind (`user`, `item`, `entity`); 0 is padding."""

    kind: str
    external: tuple[str, ...]

    def __len__(self) -> int:
        """How many ids there are, padding included: dense arrays have this many rows."""
        return len(self.external)

    @cached_property
    def dense(self) -> dict[str, int]:
        """External id to dense id."""
        return {name: i for i, name in enumerate(self.external) if i}


@dataclass(frozen=True)
class Catalogue:
    """Items: vocabulary, titles, categories and the `eligible` mask `[I]` that every policy must respect."""

    vocabulary: Vocabulary
    titles: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    eligible: np.ndarray

    def __len__(self) -> int:
        return len(self.vocabulary)


@dataclass(frozen=True)
class Corpus:
    """Checked tables, one Parquet file each, spread over folders; the first folder that has a table provides it."""

    folders: tuple[Path, ...]

    @staticmethod
    def of(*folders: Path) -> "Corpus":
        """The tables of these folders; of a warehouse, those of its newest corpus.

        Raises:
            InputError: a warehouse has no corpus, or its manifest cannot be read.
        """
        return Corpus(tuple(newest(folder) if (folder / MANIFEST).exists() else folder for folder in folders))

    def path(self, table: Table) -> Path:
        """Where the table lies, or where it would lie."""
        places = [folder / f"{table.name}.parquet" for folder in self.folders]
        return next((place for place in places if place.exists()), places[0])

    def has(self, table: Table) -> bool:
        """Whether this corpus has the table."""
        return self.path(table).exists()

    def scan(self, table: Table) -> pl.LazyFrame:
        """The table, lazily.

        Raises:
            InputError: the corpus has no such table.
        """
        if not self.has(table):
            raise InputError(
                f"this corpus has no table {table.name}",
                file=self.path(table),
                remedy="run the ingestion (or simulation) that makes it, or hand over another corpus folder",
            )
        return pl.scan_parquet(self.path(table))

    def vocabulary(self, kind: str) -> Vocabulary:
        """Dense ids of one kind, in order."""
        rows = self.scan(VOCABULARY).filter(pl.col("kind") == kind).sort("id").select("external").collect()
        return Vocabulary(kind, ("", *rows["external"].to_list()))

    def size(self, kind: str) -> int:
        """How many dense ids of one kind there are, padding included, without reading their names."""
        return self.scan(VOCABULARY).filter(pl.col("kind") == kind).select(pl.len()).collect().item() + 1

    def catalogue(self) -> Catalogue:
        """All items; every known item is eligible, padding is not."""
        vocabulary = self.vocabulary("item")
        rows = self.scan(ITEMS).sort("item").collect()
        titles = [""] * len(vocabulary)
        categories: list[tuple[str, ...]] = [()] * len(vocabulary)
        for item, title, names in rows.select("item", "title", "categories").iter_rows():
            titles[item] = title or vocabulary.external[item]
            categories[item] = tuple(names)
        eligible = np.zeros(len(vocabulary), dtype=bool)
        eligible[rows["item"].to_numpy()] = True
        return Catalogue(vocabulary, tuple(titles), tuple(categories), eligible)


def newest(warehouse: Path) -> Path:
    """The newest corpus of a warehouse.

    Raises:
        InputError: there is none, or the manifest cannot be read.
    """
    try:
        view = json.loads((warehouse / MANIFEST).read_text(encoding="utf-8"))["view"]
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise InputError("the manifest cannot be read", file=warehouse / MANIFEST, remedy="run rlrec ingest") from fault
    if view is None:
        raise InputError("the warehouse has no corpus yet", file=warehouse, remedy="run rlrec ingest again")
    return warehouse / view
