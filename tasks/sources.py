"""Obtain a raw dataset: a user's path, the official archive, or the copy inside a PyPI wheel; verify inner files.

Hashes are of the files inside the archives, uncompressed, and only of files that were opened and compared.
"""

import errno
import gzip
import hashlib
import http.client
import io
import json
import logging
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rlrec.errors import InputError
from tasks.artifacts import CHUNK, aside, home, no_space

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
BODY_SECONDS = 300.0
WHEEL_SECONDS = 60.0
SEEN = "sha256.json"  # in a cache folder: the hashes at download, which also cover files that nobody verified

MOVIELENS_LICENCE = (
    "MovieLens data, GroupLens Research, University of Minnesota: research use only, no redistribution and no "
    "commercial use without permission, acknowledge the source (Harper and Konstan 2015, doi:10.1145/2827872)."
)
KNOWLEDGE_LICENCE = (
    "Knowledge graph: Freebase facts (CC BY), linked to MovieLens by KB4Rec "
    "(Zhao et al. 2019, doi:10.1162/dint_a_00008)."
)


@dataclass(frozen=True)
class RawFile:
    """One raw text file: its name, how a line is split, what its columns are called, and its verified SHA-256."""

    name: str
    separator: str
    columns: tuple[str, ...]
    header: bool = False
    encoding: str = "utf-8"
    sha256: str | None = None


@dataclass(frozen=True)
class Layout:
    """One publisher's form of a dataset. Genres are 0/1 `flags` in the item file's last columns, or separated words."""

    name: str
    ratings: RawFile
    items: RawFile
    genre_separator: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wheel:
    """A PyPI wheel that carries data: opened as a zip, never installed, never imported."""

    requirement: str
    layout: str


@dataclass(frozen=True)
class Dataset:
    """What can be fetched by name, in which layouts, from where, and on which terms."""

    name: str
    title: str
    url: str
    layouts: tuple[Layout, ...]
    licence: str
    knowledge: RawFile
    links: RawFile
    wheel: Wheel | None = None

    def layout(self, name: str) -> Layout:
        """The layout of that name."""
        return next(layout for layout in self.layouts if layout.name == name)


@dataclass(frozen=True)
class Way:
    """One public origin: the name of its cache folder, a sentence, its layout, and how to obtain its archive."""

    place: str
    origin: str
    layout: str
    obtain: Callable[[Path], Path]


@dataclass(frozen=True)
class Source:
    """A dataset on disk, ready to ingest: where each file lies, how it is laid out, and where it came from."""

    name: str
    title: str
    layout: Layout
    folder: Path
    origin: str
    ratings: Path
    items: Path
    knowledge_form: RawFile
    links_form: RawFile
    knowledge: Path | None
    links: Path | None
    knowledge_origin: str
    verified: bool
    licence: str
    digests: Mapping[str, str]
    tried: tuple[str, ...]


KNOWLEDGE_COLUMNS = ("head_id:token", "relation_id:token", "tail_id:token")
LINK_COLUMNS = ("item_id:token", "entity_id:token")
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The flags of u.item, in order. Source: u.genre of ML-100K."""

ML_100K = Dataset(
    "ml-100k",
    "MovieLens 100K: 100,000 ratings of 943 users on 1,682 films, 1997-1998",
    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    (
        Layout(
            "official",
            RawFile(
                "u.data",
                "\t",
                ("user", "item", "rating", "timestamp"),
                sha256="06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
            ),
            RawFile(
                "u.item",
                "|",
                ("item", "title", "release date", "video release date", "url", *GENRES),
                encoding="latin-1",
                sha256="553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
            ),
            flags=GENRES,
        ),
        Layout(
            "atomic",
            RawFile(
                "ml-100k.inter",
                "\t",
                ("user_id:token", "item_id:token", "rating:float", "timestamp:float"),
                header=True,
                sha256="4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            ),
            RawFile(
                "ml-100k.item",
                "\t",
                ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq"),
                header=True,
                sha256="51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            ),
            genre_separator=" ",
        ),
    ),
    f"{MOVIELENS_LICENCE} {KNOWLEDGE_LICENCE}",
    RawFile(
        "ml-100k.kg",
        "\t",
        KNOWLEDGE_COLUMNS,
        header=True,
        sha256="200a0636fa07c218119a42e5bac7aa3e26e3665a6f919c1b22909bd412b14779",
    ),
    RawFile(
        "ml-100k.link",
        "\t",
        LINK_COLUMNS,
        header=True,
        sha256="524dca2c3d62619688ab99b3ec53ea2acb9b64d38eafec3e02bdd0dc6bb7d948",
    ),
    Wheel("recbole==1.2.1", "atomic"),
)

ML_1M = Dataset(
    "ml-1m",
    "MovieLens 1M: 1,000,209 ratings of 6,040 users on 3,706 films, 2000-2003",
    "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    (
        Layout(
            "official",
            RawFile("ratings.dat", "::", ("user", "item", "rating", "timestamp")),
            RawFile(
                "movies.dat",
                "::",
                ("item", "title", "genres"),
                encoding="latin-1",
                sha256="0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",
            ),
            genre_separator="|",
        ),
    ),
    MOVIELENS_LICENCE,
    RawFile("ml-1m.kg", "\t", KNOWLEDGE_COLUMNS, header=True),
    RawFile("ml-1m.link", "\t", LINK_COLUMNS, header=True),
)

DATASETS = {dataset.name: dataset for dataset in (ML_100K, ML_1M)}


def fetch(name: str, path: Path | None = None) -> Source:
    """The dataset's files: the user's own, or cached, or downloaded, in that order; then its knowledge graph.

    Raises:
        InputError: no way led to the files, or a file is not the one that was verified.
    """
    if name not in DATASETS:
        raise InputError(f"no dataset is called {name!r}", remedy=f"choose one of: {', '.join(DATASETS)}")
    dataset = DATASETS[name]
    tried: list[str] = []
    if path is not None:
        layout, folder, files = find_local(dataset, path)
        origin = f"files of the user at {path}"
    else:
        layout, folder, files, origin = find_public(dataset, tried)
    knowledge, reason = find_knowledge(dataset, folder, origin, tried)
    forms = (layout.ratings, layout.items, dataset.knowledge, dataset.links)
    used = [(form, place) for form, place in zip(forms, (*files, *(knowledge or (None, None))), strict=True) if place]
    digests = {form.name: digest_of_raw(place) for form, place in used}
    return Source(
        name=dataset.name,
        title=dataset.title,
        layout=layout,
        folder=folder,
        origin=origin,
        ratings=files[0],
        items=files[1],
        knowledge_form=dataset.knowledge,
        links_form=dataset.links,
        knowledge=knowledge[0] if knowledge else None,
        links=knowledge[1] if knowledge else None,
        knowledge_origin=reason,
        verified=all(form.sha256 == digests[form.name] for form, _ in used),
        licence=dataset.licence,
        digests=digests,
        tried=tuple(tried),
    )


@contextmanager
def open_raw(file: Path) -> Iterator[io.BufferedIOBase]:
    """The file's bytes, gunzipped when its name ends in .gz.

    Raises:
        InputError: it is missing, unreadable or damaged.
    """
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
            yield stream
    except FileNotFoundError as fault:
        raise InputError("the file does not exist", file=file, remedy="give the right path") from fault
    except (EOFError, gzip.BadGzipFile, zlib.error) as fault:
        raise InputError(
            f"the compressed file is damaged ({fault})", file=file, remedy="copy or download it again"
        ) from fault
    except OSError as fault:
        if fault.errno == errno.ENOSPC:
            raise  # not about this file: its content is being written elsewhere
        raise InputError(
            f"the file cannot be read ({fault.strerror or fault})",
            file=file,
            remedy="make it a plain file that this account may read",
        ) from fault


def digest_of_raw(file: Path) -> str:
    """SHA-256 of the uncompressed bytes."""
    total = hashlib.sha256()
    with open_raw(file) as stream:
        while chunk := stream.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()


def find_local(dataset: Dataset, path: Path) -> tuple[Layout, Path, tuple[Path, Path]]:
    """The files in a user's folder or archive. Their content is the user's business: no hash is demanded."""
    if not path.exists():
        raise InputError(
            "the path does not exist", file=path, remedy=f"give a folder or zip with the {dataset.name} files"
        )
    folder = path
    if path.is_file():
        if not zipfile.is_zipfile(path):
            raise InputError(
                "the path is neither a folder nor a zip archive",
                file=path,
                remedy="give the folder in which the raw files lie",
            )
        folder = unpack(path, home() / "downloads" / dataset.name / f"local-{digest_of_raw(path)[:12]}", dataset)
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


def locate(folder: Path, name: str) -> Path | None:
    """The file of that name, plain or gzipped, in the folder or one folder below."""
    places = (folder, *sorted(place for place in folder.iterdir() if place.is_dir()))
    choices = (place / f"{name}{suffix}" for place in places for suffix in ("", ".gz"))
    return next((choice for choice in choices if choice.exists()), None)


def raw_files(dataset: Dataset) -> dict[str, RawFile]:
    """Every file that the dataset may consist of, by name."""
    forms = [form for layout in dataset.layouts for form in (layout.ratings, layout.items)]
    return {form.name: form for form in (*forms, dataset.knowledge, dataset.links)}


def unpack(archive: Path, target: Path, dataset: Dataset) -> Path:
    """Write the archive's files of this dataset to `target`, by their own names only, whatever paths it claims."""
    if target.is_dir():
        return target
    try:
        with zipfile.ZipFile(archive) as zipped, aside(target) as draft:
            draft.mkdir()
            members = sorted(zipped.namelist(), key=len, reverse=True)
            wanted = {Path(member).name: member for member in members if Path(member).name in raw_files(dataset)}
            for name, member in wanted.items():
                with zipped.open(member) as packed, (draft / name).open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked, CHUNK)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as fault:
        raise InputError(
            f"the archive cannot be unpacked ({fault})", file=archive, remedy="download it again, or give a folder"
        ) from fault
    return target


def public_ways(dataset: Dataset) -> dict[str, Way]:
    """The public origins of a dataset, the preferred one first."""
    url, wheel = dataset.url, dataset.wheel
    official = Way("official", f"official archive {url}", "official", lambda scratch: download_archive(url, scratch))
    if wheel is None:
        return {"official": official}
    origin = f"PyPI wheel {wheel.requirement}"
    packed = Way("wheel", origin, wheel.layout, lambda scratch: download_wheel(wheel.requirement, scratch))
    return {"official": official, "wheel": packed}


def find_public(dataset: Dataset, tried: list[str]) -> tuple[Layout, Path, tuple[Path, Path], str]:
    """The cached or downloaded files: any verified cache first, so that a lost network never changes the result."""
    ways = public_ways(dataset).values()
    for obtain in (cached, download):
        for way in ways:
            layout = dataset.layout(way.layout)
            if folder := obtain(dataset, way, (layout.ratings, layout.items), tried):
                return layout, folder, (folder / layout.ratings.name, folder / layout.items.name), way.origin
    raise InputError(
        "\n  tried: ".join([f"{dataset.name} could not be obtained", *tried]),
        remedy=f"connect to the network, or download {dataset.name} elsewhere and give its folder or zip: --data PATH "
        "(rlrec data fetch: --path PATH)",
    )


def find_knowledge(
    dataset: Dataset, folder: Path, origin: str, tried: list[str]
) -> tuple[tuple[Path, Path] | None, str]:
    """The knowledge graph and its links, beside the ratings or from a wheel, and where from; or nothing, and why."""
    forms = (dataset.knowledge, dataset.links)
    knowledge, links = (locate(folder, form.name) for form in forms)
    if knowledge and links:
        return (knowledge, links), origin
    way = public_ways(dataset).get("wheel")
    if way is None:
        return None, f"none, genre triples only: nobody publishes {forms[0].name}; put it beside the ratings"
    if place := cached(dataset, way, forms, tried) or download(dataset, way, forms, tried):
        return (place / forms[0].name, place / forms[1].name), way.origin
    log.warning("no knowledge graph for %s, genre triples only: %s", dataset.name, tried[-1])
    return None, f"none, genre triples only: {tried[-1]}"


def cached(dataset: Dataset, way: Way, needed: Iterable[RawFile], _tried: list[str]) -> Path | None:
    """The folder of an earlier download, every file checked again; nothing when there was none.

    Raises:
        InputError: a file changed since. It is not replaced silently: somebody may want to know why.
    """
    folder = home() / "downloads" / dataset.name / way.place
    if not folder.is_dir():
        return None
    remedy = f"delete the folder {folder} and run again: it is fetched anew"
    try:
        seen: dict[str, str] = json.loads((folder / SEEN).read_text())
    except (OSError, ValueError) as fault:
        raise InputError("the download's record of hashes is unreadable", file=folder / SEEN, remedy=remedy) from fault
    for name in seen | {form.name: "" for form in needed}:
        verify(folder / name, raw_files(dataset)[name].sha256 or seen.get(name, "unknown"), remedy)
    return folder


def verify(file: Path, expected: str, remedy: str, shown: str | None = None) -> None:
    """Compare a file with its expected SHA-256.

    Raises:
        InputError: they differ, or there is no file.
    """
    found = digest_of_raw(file) if file.exists() else "no such file"
    if found != expected:
        raise InputError(
            f"the file is not the one that was verified\n  expected SHA-256: {expected}\n  found:            {found}",
            file=shown or file,
            remedy=remedy,
        )


def download(dataset: Dataset, way: Way, needed: Iterable[RawFile], tried: list[str]) -> Path | None:
    """Download the archive, verify what is inside, keep it in the cache; nothing if it is out of reach.

    Raises:
        InputError: the archive came, but a file in it is not the one that was verified; or the disk is full.
    """
    target = home() / "downloads" / dataset.name / way.place
    target.parent.mkdir(parents=True, exist_ok=True)
    log.info("fetching the %s", way.origin)
    with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as scratch:
        try:
            folder = unpack(way.obtain(Path(scratch)), Path(scratch) / "files", dataset)
            missing = [form.name for form in needed if not (folder / form.name).exists()]
            if missing:
                raise InputError(f"the archive lacks {', '.join(missing)}")
        except (OSError, http.client.HTTPException, InputError) as fault:
            if errno.ENOSPC in (getattr(fault, "errno", 0), getattr(fault.__cause__, "errno", 0)):
                raise no_space(target) from fault
            reason = getattr(fault, "problem", None) or getattr(fault, "reason", None) or fault
            tried.append(f"{way.origin}: {reason}")
            log.warning("tried the %s", tried[-1])
            return None
        seen = {file.name: digest_of_raw(file) for file in sorted(folder.iterdir())}
        for name, digest in seen.items():
            remedy = "try again later, or give your own copy: --data PATH (rlrec data fetch: --path PATH)"
            verify(folder / name, raw_files(dataset)[name].sha256 or digest, remedy, f"{name} in the {way.origin}")
        with aside(target) as draft:
            shutil.copytree(folder, draft)
            (draft / SEEN).write_text(json.dumps(seen, indent=1))
    return target


def download_archive(url: str, folder: Path) -> Path:
    """Save what the address answers; give up early when it does not."""
    archive = folder / "archive.zip"
    deadline = time.monotonic() + BODY_SECONDS
    with ask(url) as answer, archive.open("wb") as stream:
        while chunk := answer.read(CHUNK):
            stream.write(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError(f"still incomplete after {BODY_SECONDS:.0f} s")
    return archive


def ask(url: str) -> http.client.HTTPResponse:
    """The open response. In a thread of its own, because looking up a name knows no time limit."""
    answers: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue()

    def connect() -> None:
        try:
            answers.put(urllib.request.urlopen(url, timeout=CONNECT_SECONDS))
        except (OSError, http.client.HTTPException) as fault:
            answers.put(fault)

    threading.Thread(target=connect, daemon=True).start()
    try:
        answer = answers.get(timeout=CONNECT_SECONDS + 1)
    except queue.Empty:
        raise TimeoutError(f"no answer within {CONNECT_SECONDS:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def download_wheel(requirement: str, folder: Path) -> Path:
    """Let pip download the wheel, alone, and give up early. Flags, because a user's pip may be set to wait."""
    command = [sys.executable, "-m", "pip", "download", requirement, "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(folder), "--timeout", f"{CONNECT_SECONDS:.0f}", "--retries", "0"]
    command += ["--no-input", "--disable-pip-version-check", "--quiet"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=WHEEL_SECONDS, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"pip did not end within {WHEEL_SECONDS:.0f} s") from None
    if answer.returncode:
        lines = [line for line in answer.stderr.splitlines() if line.strip()]
        raise OSError(lines[-1] if lines else f"pip ended with exit code {answer.returncode}")
    return next(folder.glob("*.whl"))
