"""Raw logs -> a warehouse: an increment of checked, partitioned tables, then a corpus of them, each in one rename."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rlrec.corpus import MANIFEST, newest
from rlrec.errors import InputError
from tasks.artifacts import Artifact, digest_of, no_half_written, settle_all, store
from tasks.database import MEMORY_LIMIT
from tasks.linkage import LEAST_SCORE
from tasks.loading import WORKERS, Settings, commit, inherit, load_bucket, prepare
from tasks.manifest import VIEWS, WORK, DataFile, Manifest, write_manifest, writing
from tasks.sources import Source
from tasks.sources.catalogue.movielens import Users
from tasks.views import CORPUS, ViewSettings, write_view

logger = logging.getLogger(__name__)

ORIGIN = "origin.json"
LOADED = "loaded"
GENRES_ONLY, GENRES_AND_FACTS = "genres only", "genres and facts"

Load = Callable[[Sequence[int], str], Sequence[list[DataFile]]]


def load_one(bucket: int, out: str) -> list[DataFile]:
    """Load one bucket of the warehouse `out`: buckets share nothing, so any worker that sees the folder may."""
    work = Path(out) / WORK
    return load_bucket(work, bucket, work / LOADED)


def in_threads(buckets: Sequence[int], out: str) -> list[list[DataFile]]:
    """Load the buckets in threads of this process: the way without a task runner."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda bucket: load_one(bucket, out), buckets))


def ingest(
    source: Source,
    out: Path,
    *,
    view: ViewSettings | None = None,
    vocabulary: Path | None = None,
    memory_limit: str = MEMORY_LIMIT,
    load: Load = in_threads,
) -> Artifact:
    """Bring the warehouse `out` up to date with the source's files, and make a corpus of all that it holds.

    Files that it holds already (by SHA-256) change nothing. A new warehouse starts with the dense ids of the warehouse
    `vocabulary`, when there is one. `load` loads its buckets. Returns the corpus, a folder inside `out`.

    Raises:
        InputError: a file cannot be used, too many of its rows are rejected, somebody else is writing, or the disk is
            full; the warehouse is as it was before.
    """
    out = out.absolute()
    settings = view or ViewSettings.of(source)
    with no_half_written(out), writing(out) as (before, work):
        start = settings_of(source, memory_limit)
        if vocabulary is not None:
            before = inherit(vocabulary, before, out, start)
        manifest = increment(source, out, before, work, start, load)
        return corpus_of(source, out, manifest, settings, memory_limit)


def increment(
    source: Source, out: Path, before: Manifest | None, work: Path, settings: Settings, load: Load
) -> Manifest:
    """Stage, load bucket by bucket, commit; or the manifest as it is, when all files are known."""
    prepared = prepare(source.feeds, out, before, work, settings)
    if prepared is None:
        return as_it_is(before, out)
    loaded = load(range(prepared.before.buckets), str(out))
    return commit(work, [(work / LOADED, files) for files in loaded], out)


def as_it_is(before: Manifest | None, out: Path) -> Manifest:
    """The manifest of a warehouse to which nothing is to be added.

    Raises:
        InputError: it holds nothing either.
    """
    if before is None or not before.inputs:
        raise InputError("there is nothing to ingest", file=out, remedy="name at least one file")
    logger.info("%s: every file is known already, nothing to do", before.name)
    return before


def settings_of(source: Source, memory_limit: str) -> Settings:
    """How a new warehouse of this source is made."""
    return Settings(
        name=source.name,
        title=source.title,
        licence=source.licence,
        grain=source.grain,
        max_reject_share=source.max_reject_share,
        no_genre=source.no_genre,
        memory_limit=memory_limit,
    )


def corpus_of(source: Source, out: Path, manifest: Manifest, settings: ViewSettings, memory_limit: str) -> Artifact:
    """The corpus of this generation under these settings: made, unless it is there."""
    name = f"g{manifest.generation:05d}-{settings.digest}"
    target = out / VIEWS / name

    def notes(counts: Mapping[str, int]) -> dict[str, Any]:
        graph = describe_graph(source, manifest, counts)
        return {"layout": source.layout, "verified": source.verified, "knowledge_graph": graph}

    def write(draft: Path) -> int:
        rows = write_view(out, manifest, draft, settings, memory_limit, notes)
        origin = {"origin": source.origin, "knowledge_graph_origin": source.knowledge_origin}
        (draft / ORIGIN).write_text(json.dumps(origin, indent=1, ensure_ascii=False), encoding="utf-8")
        return rows

    if (target / CORPUS).exists():
        counts = read_description(target)["counts"]
        return Artifact(uri=str(target), digest=digest_of(target, {ORIGIN}), kind="corpus", rows=counts["events"])
    corpus = store("corpus", target, write, apart={ORIGIN})
    settle_all(target.iterdir(), out)  # and the folders that lead to it
    write_manifest(out, manifest.model_copy(update={"view": f"{VIEWS}/{name}"}))
    return corpus


def describe_graph(source: Source, manifest: Manifest, numbers: Mapping[str, int]) -> dict[str, Any]:
    """What of the knowledge graph is used, why as a sentence, and what was measured."""
    facts = manifest.accepted("triples")
    facts -= sum(part.counts.accepted for part in manifest.inputs if part.statement == Users.file)
    if not facts:
        return {"used": GENRES_ONLY, "why": "No knowledge graph was at hand.", "agreement": None}
    if source.links is None:
        return {"used": GENRES_AND_FACTS, "why": f"{facts:,} facts name the items.", "agreement": None}
    measured, joined = manifest.agreement, f"{numbers['items_linked']:,} of {numbers['items']:,} items"
    score = measured["score"]
    told = (
        f"Items that share a node of the graph have a genre cosine of {measured['shared']:.3f}, any two linked items "
        f"{measured['any_two']:.3f}"
        if score is not None
        else ""
    )
    if not manifest.links_fit:
        why = (
            f"The {manifest.accepted('links'):,} links in {source.links} do not fit these items, so no item is "
            f"joined to the {facts:,} facts. {told}: {score:.1f} standard deviations above chance, "
            f"{LEAST_SCORE:g} are needed. The links probably carry the item ids of another dataset."
        )
        logger.warning("knowledge graph: %s", why)
    elif score is None:
        why = (
            f"{facts:,} facts join {joined}. Whether the links fit could not be measured: {measured['pairs']:,} pairs "
            "of items with a genre share a node."
        )
    else:
        why = f"{facts:,} facts join {joined}. {told}: {score:.1f} standard deviations above chance."
    return {"used": GENRES_AND_FACTS if manifest.links_fit else GENRES_ONLY, "why": why, "agreement": measured}


def read_description(corpus: Path) -> dict[str, Any]:
    """What corpus.json says, and where the files lay; of a warehouse, that of its newest corpus.

    Raises:
        InputError: the folder is no corpus.
    """
    try:
        folder = newest(corpus) if (corpus / MANIFEST).exists() else corpus
        return {
            name: value
            for file in (CORPUS, ORIGIN)
            for name, value in json.loads((folder / file).read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError) as fault:
        raise InputError("the folder is no corpus", file=corpus / CORPUS, remedy="run rlrec ingest") from fault


def ingest_source(
    source: Source, positive_from: float, *, target: Path, tracking: str | None = None, load: Load = in_threads
) -> Artifact:
    """`ingest` as a tracked stage."""
    from tasks.tracking import child  # here, so that `rlrec ingest` does not wait seconds for mlflow

    with child(tracking, "ingest") as run:
        corpus = ingest(source, target, view=ViewSettings.of(source, positive_from), load=load)
        description = read_description(corpus.path)
        run.params({"dataset": source.name, "origin": source.origin, "positive_from": positive_from})
        run.metrics([(f"rows/{name}", float(number), 0) for name, number in description["counts"].items()])
        run.files(corpus.path / CORPUS)
        run.files(target / MANIFEST)
        return corpus
