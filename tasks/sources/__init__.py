"""Obtain a raw dataset and know what it is: `fetch(name, path)` gives a `Source`; `gather` a whole collection."""

from tasks.sources.obtain import Source, fetch, gather
from tasks.sources.rawfiles import digest_of_raw, open_raw
from tasks.sources.registry import DATASETS, GENRES, ML_1M, ML_100K, Dataset, Layout, RawFile, raw_files

__all__ = [
    "DATASETS",
    "GENRES",
    "ML_100K",
    "ML_1M",
    "Dataset",
    "Layout",
    "RawFile",
    "Source",
    "digest_of_raw",
    "fetch",
    "gather",
    "open_raw",
    "raw_files",
]
