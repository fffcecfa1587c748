"""Raw logs -> a warehouse: an increment of checked, partitioned tables, then a corpus of them, each in one rename."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rlrec.errors import InputError
from tasks.artifacts import Artifact, digest_of, no_space_as_input_error, store
from tasks.loading import Prepared, Settings, commit, load_bucket, prepare, read_prepared
from tasks.manifest import VIEWS, DataFile, Manifest, read_manifest, write_manifest, writing
from tasks.sources import Source
from tasks.views import CORPUS, ViewSettings, write_view

logger = logging.getLogger(__name__)

WORKERS = 2
FILES = "files.json"
DATA_FILES = TypeAdapter(list[DataFile])
ORIGIN = "origin.json"


def ingest(
    source: Source, out: Path, *, view: ViewSettings | None = None, memory_limit: str = "1GB"
) -> Artifact:
    """Bring the warehouse `out` up to date with the source's files, and make a corpus of all that it holds.

    Files that it holds already (by SHA-256) change nothing. Returns the corpus, a folder inside `out`.

    Raises:
        InputError: a file cannot be used, too many of its rows are rejected, somebody else is writing, or the disk is
            full; the warehouse is as it was before.
    """
    out = out.absolute()
    settings = view or source.view
    with no_space_as_input_error(out), writing(out) as (before, work):
        manifest = increment(source, out, before, work, memory_limit)
        return current_view(source, out, manifest, settings, memory_limit)


def increment(
    source: Source, out: Path, before: Manifest | None, work: Path, memory_limit: str
) -> Manifest:
    """Stage, load bucket by bucket, commit; or the manifest as it is, when all files are known."""
    prepared = prepare(source.feeds, out, before, work, source.settings(memory_limit))
    if prepared is None:
        assert before is not None
        logger.info("%s: all files are known already, nothing to do", source.name)
        return before
    into = work / "loaded"
    with ThreadPoolExecutor(WORKERS) as pool:
        loaded = list(pool.map(lambda bucket: load_bucket(work, bucket, into), range(prepared.before.buckets)))
    return commit(work, [(into, files) for files in loaded], out)


def current_view(source: Source, out: Path, manifest: Manifest, settings: ViewSettings, memory_limit: str) -> Artifact:
    """The corpus of this generation under these settings: made, unless it is there."""
    name = f"g{manifest.generation:05d}-{settings.digest}"
    target = out / VIEWS / name

    def write(draft: Path) -> int:
        rows = write_view(out, manifest, draft, settings, memory_limit, source.notes)
        (draft / ORIGIN).write_text(json.dumps(source.origins, indent=1, ensure_ascii=False), encoding="utf-8")
        return rows

    if (target / CORPUS).exists():
        return Artifact(
            uri=str(target), digest=digest_of(target, {ORIGIN}), kind="corpus", rows=read_description(target)["counts"]["events"]
        )
    corpus = store("corpus", target, write, apart={ORIGIN})
    old = manifest.view
    write_manifest(out, manifest.model_copy(update={"view": f"{VIEWS}/{name}"}))
    if old is not None:
        shutil.rmtree(out / old, ignore_errors=True)
    return corpus
