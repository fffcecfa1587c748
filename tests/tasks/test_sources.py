"""Sources: which way leads to the files, how a dead network fails over, and what a changed file says."""

import gzip
import hashlib
import json
import shutil
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rlrec.errors import InputError
from tasks.sources import DATASETS, ML_1M, ML_100K, Dataset, RawFile, Source, fetch, network, raw_files
from tasks.sources.obtain import SEEN
from tasks.sources.registry import FREEBASE, Graph
from tests.needs import lack
from tests.tiny import write_tiny


def files(source: Source) -> list[Path]:
    """Ratings, items, and facts and links if there are any."""
    return [feed.file for feed in source.feeds]


WHEEL_FOLDER = "recbole/dataset_example/ml-100k"
FAIL_OVER_SECONDS = 20
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The tiny world's raw files."""
    return write_tiny(tmp_path / "raw")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    yield from serve(partial(QuietFiles, directory=str(folder)), folder)


class QuietFiles(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


def serve(handler: Callable[..., BaseHTTPRequestHandler], folder: Path) -> Iterator[tuple[Path, str]]:
    """Run a server while the test runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds nothing, and says so at once."""

    def refuse(requirement: str, _folder: Path) -> Path:
        raise OSError(f"ERROR: No matching distribution found for {requirement}")

    monkeypatch.setattr(network, "download_wheel", refuse)


@pytest.fixture
def dead_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip finds nothing, whatever this machine is set to."""
    for name, value in (("INDEX_URL", DEAD), ("EXTRA_INDEX_URL", ""), ("FIND_LINKS", ""), ("CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(f"PIP_{name}", value)


def pretend(monkeypatch: pytest.MonkeyPatch, raw: Path, url: str) -> Dataset:
    """Describe ML-100K as if the tiny world were it: this address, these hashes."""

    def known(form: RawFile) -> RawFile:
        file = raw / form.name
        return replace(form, sha256=hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "0" * 64)

    layouts = tuple(
        replace(one, ratings=known(one.ratings), items=known(one.items), users=known(one.users))
        for one in ML_100K.layouts
    )
    graph = Graph(known(FREEBASE.knowledge), known(FREEBASE.links))
    wheel = replace(ML_100K.wheel, graph=graph)
    dataset = replace(ML_100K, url=url, layouts=layouts, graphs=(graph,), wheel=wheel)
    monkeypatch.setitem(DATASETS, "ml-100k", dataset)
    return dataset


def pack(archive: Path, folder: Path, names: tuple[str, ...], prefix: str = "ml-100k") -> Path:
    """A zip of these files."""
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in names:
            zipped.write(folder / name, f"{prefix}/{name}")
    return archive


def pack_atomic(folder: Path, raw: Path) -> Path:
    """A wheel-like zip: the tiny world as atomic files."""
    header = "\t".join(ML_100K.layout("atomic").ratings.columns)
    (raw / "ml-100k.inter").write_text(f"{header}\n{(raw / 'u.data').read_text()}")
    item_header = "\t".join(ML_100K.layout("atomic").items.columns)
    (raw / "ml-100k.item").write_text(f"{item_header}\n1\tSeñor Film 1\t1960\tComedy\n")
    names = ("ml-100k.inter", "ml-100k.item", "ml-100k.kg", "ml-100k.link")
    return pack(folder / "recbole-1.2.1-py3-none-any.whl", raw, names, WHEEL_FOLDER)


def test_a_local_folder_is_taken_as_it_is(raw):
    source = fetch("ml-100k", raw)
    assert (source.layout, *files(source)) == (
        "official", raw / "u.data", raw / "u.item", raw / "ml-100k.kg", raw / "ml-100k.link"
    )  # fmt: skip
    assert source.tried == ()
    assert not source.verified
    assert str(raw) in source.origin
    assert "research use only" in source.licence


def test_gzipped_files_and_a_folder_below_are_found(raw, tmp_path):
    inner = tmp_path / "outer" / "ml-100k"
    shutil.copytree(raw, inner)
    (inner / "u.data.gz").write_bytes(gzip.compress((inner / "u.data").read_bytes()))
    (inner / "u.data").unlink()
    source = fetch("ml-100k", tmp_path / "outer")
    assert files(source)[0] == inner / "u.data.gz"
    assert source.digests["u.data"] == fetch("ml-100k", raw).digests["u.data"]


def test_a_local_zip_is_unpacked_by_name_only(raw, tmp_path):
    archive = pack(tmp_path / "mine.zip", raw, ("u.data", "u.item", "ml-100k.kg", "ml-100k.link"), "../../../escape")
    source = fetch("ml-100k", archive)
    assert source.digests == fetch("ml-100k", raw).digests
    assert files(source)[0].is_relative_to(tmp_path / "home")
    assert not list(tmp_path.rglob("escape"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: shutil.rmtree(raw), "does not exist"),
        (lambda raw: (raw / "u.item").unlink(), "u.item is missing"),
        (lambda raw: (raw / "u.data").unlink(), "no ml-100k files here"),
        (lambda raw: ((raw / "u.data").unlink(), (raw / "u.data").mkdir()), "cannot be read"),
        (lambda raw: (raw / "u.data").rename(raw / "u.data.gz"), "damaged"),
    ],
    ids=["no folder", "no items", "no ratings", "unreadable", "not gzip"],
)
def test_an_unusable_folder_is_refused(raw, damage, words):
    damage(raw)
    with pytest.raises(InputError, match=words) as refusal:
        fetch("ml-100k", raw)
    assert refusal.value.file
    assert refusal.value.remedy


def test_a_truncated_gzip_is_refused(raw):
    packed = gzip.compress((raw / "u.data").read_bytes())
    (raw / "u.data").unlink()
    (raw / "u.data.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="damaged") as refusal:
        fetch("ml-100k", raw)
    assert str(refusal.value.file).endswith("u.data.gz")


def test_a_file_that_is_no_zip_is_refused(raw):
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        fetch("ml-100k", raw / "u.data")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"no dataset is called 'ml-11m'; did you mean 'ml-1") as refusal:
        fetch("ml-11m")
    assert "ml-100k, ml-1m" in str(refusal.value.remedy)


def test_the_official_archive_is_downloaded_verified_and_kept(raw, served, monkeypatch, no_pip):
    folder, address = served
    dataset = pretend(monkeypatch, raw, f"{address}/ml-100k.zip")
    pack(folder / "ml-100k.zip", raw, ("u.data", "u.item", "ml-100k.kg"))
    first = fetch("ml-100k")
    assert first.layout == "official"
    assert dataset.url in first.origin
    assert first.digests["u.data"] == dataset.layouts[0].ratings.sha256
    assert first.verified
    (folder / "ml-100k.zip").unlink()
    assert fetch("ml-100k").digests == first.digests


def test_without_a_knowledge_graph_the_source_says_why(raw, served, monkeypatch, no_pip):
    folder, address = served
    pretend(monkeypatch, raw, f"{address}/ml-100k.zip")
    pack(folder / "ml-100k.zip", raw, ("u.data", "u.item"))
    source = fetch("ml-100k")
    assert (len(source.feeds), source.links) == (2, None)
    assert "genre triples only" in source.knowledge_origin
    assert "recbole==1.2.1" in source.knowledge_origin


def test_a_tampered_download_names_both_hashes_and_keeps_nothing(raw, served, monkeypatch, tmp_path):
    folder, address = served
    dataset = pretend(monkeypatch, raw, f"{address}/ml-100k.zip")
    (raw / "u.data").write_text((raw / "u.data").read_text().replace("\t5\t", "\t1\t", 1))
    pack(folder / "ml-100k.zip", raw, ("u.data", "u.item"))
    with pytest.raises(InputError, match="not the one that was verified") as refusal:
        fetch("ml-100k")
    assert str(dataset.layouts[0].ratings.sha256) in refusal.value.problem
    assert hashlib.sha256((raw / "u.data").read_bytes()).hexdigest() in refusal.value.problem
    assert "u.data" in str(refusal.value.file)
    assert list((tmp_path / "home" / "downloads" / "ml-100k").iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "gone", "no record"])
def test_a_tampered_cache_is_refused_with_a_remedy_that_works(raw, served, monkeypatch, no_pip, tmp_path, damage):
    folder, address = served
    pretend(monkeypatch, raw, f"{address}/ml-100k.zip")
    pack(folder / "ml-100k.zip", raw, ("u.data", "u.item"))
    cache = files(fetch("ml-100k"))[0].parent
    if damage == "changed":
        with (cache / "u.data").open("a") as stream:
            stream.write("1\t1\t5\t874724710\n")
    else:
        (cache / ("u.item" if damage == "gone" else SEEN)).unlink()
    with pytest.raises(InputError, match=r"verified|unreadable") as refusal:
        fetch("ml-100k")
    assert str(cache) in str(refusal.value.remedy)
    shutil.rmtree(cache)
    assert fetch("ml-100k").digests["u.data"] == DATASETS["ml-100k"].layouts[0].ratings.sha256


def test_a_cache_file_without_known_hash_is_held_to_its_hash_at_download(raw, served, monkeypatch, no_pip):
    folder, address = served
    dataset = pretend(monkeypatch, raw, f"{address}/ml-100k.zip")
    official = dataset.layout("official")
    unknown = replace(official, ratings=replace(official.ratings, sha256=None))
    monkeypatch.setitem(DATASETS, "ml-100k", replace(dataset, layouts=(unknown, dataset.layout("atomic"))))
    pack(folder / "ml-100k.zip", raw, ("u.data", "u.item"))
    source = fetch("ml-100k")
    assert not source.verified
    files(source)[0].write_text("changed")
    with pytest.raises(InputError, match="not the one"):
        fetch("ml-100k")


def test_a_dead_network_fails_over_within_seconds_and_says_what_was_tried(monkeypatch, dead_pip, tmp_path):
    monkeypatch.setitem(DATASETS, "ml-100k", replace(ML_100K, url=f"{DEAD}/ml-100k.zip"))
    start = time.monotonic()
    with pytest.raises(InputError, match="could not be obtained") as refusal:
        fetch("ml-100k")
    assert time.monotonic() - start < FAIL_OVER_SECONDS
    assert f"{DEAD}/ml-100k.zip" in refusal.value.problem
    assert "recbole==1.2.1" in refusal.value.problem
    assert "--data PATH" in str(refusal.value.remedy)
    assert list((tmp_path / "home" / "downloads" / "ml-100k").iterdir()) == []


def test_a_server_that_never_answers_is_given_up(monkeypatch, no_pip):
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/ml-100k.zip"
        monkeypatch.setitem(DATASETS, "ml-100k", replace(ML_100K, url=url))
        with pytest.raises(InputError, match="timed out"):
            fetch("ml-100k")


def test_a_name_that_never_resolves_is_given_up(monkeypatch, no_pip):
    monkeypatch.setattr(network, "CONNECT_SECONDS", 0.3)

    def look_up(*_: object) -> None:
        time.sleep(2)
        raise socket.gaierror("at last")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer"):
        network.ask("http://resolves.invalid/ml-100k.zip")
    assert time.monotonic() - start < 1.9


def test_an_answer_that_is_no_archive_counts_as_tried(served, monkeypatch, no_pip):
    folder, address = served
    (folder / "ml-100k.zip").write_text("<html>log in to the network first</html>")
    monkeypatch.setitem(DATASETS, "ml-100k", replace(ML_100K, url=f"{address}/ml-100k.zip"))
    with pytest.raises(InputError, match="cannot be unpacked"):
        fetch("ml-100k")


def write_ml_1m(folder: Path) -> Path:
    """Two ratings of two films in the layout of ML-1M."""
    folder.mkdir()
    (folder / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    (folder / "movies.dat").write_text("661::James (1996)::Animation\n1193::Nest (1975)::Drama\n")
    return folder


def publish_items(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make this folder's movies.dat the one that ML-1M's description knows."""
    known = DATASETS["ml-1m"]
    digest = hashlib.sha256((folder / "movies.dat").read_bytes()).hexdigest()
    layout = replace(known.layouts[0], items=replace(known.layouts[0].items, sha256=digest))
    monkeypatch.setitem(DATASETS, "ml-1m", replace(known, layouts=(layout,)))


def test_the_published_graph_is_not_joined_to_other_items(tmp_path):
    source = fetch("ml-1m", write_ml_1m(tmp_path / "own"))
    assert (len(source.feeds), source.links) == (2, None)
    assert "the item file is not the published one" in source.knowledge_origin


def test_ml_1m_is_offered_the_graph_of_the_wheel(raw, tmp_path, monkeypatch):
    pretend(monkeypatch, raw, DEAD)
    wheel = pack_atomic(tmp_path, raw)
    monkeypatch.setattr(network, "download_wheel", lambda *_: wheel)
    graph = DATASETS["ml-100k"].wheel.graph
    wheel_of_both = replace(DATASETS["ml-1m"].wheel, graph=graph)
    monkeypatch.setitem(
        DATASETS, "ml-1m", replace(DATASETS["ml-1m"], graphs=(*ML_1M.graphs[:1], graph), wheel=wheel_of_both)
    )
    folder = write_ml_1m(tmp_path / "own")
    publish_items(monkeypatch, folder)
    source = fetch("ml-1m", folder)
    assert source.knowledge_origin == "PyPI wheel recbole==1.2.1"
    assert [file.name for file in files(source)[2:]] == ["ml-100k.kg", "ml-100k.link"]
    assert set(source.digests) == {"ratings.dat", "movies.dat", "ml-100k.kg", "ml-100k.link"}
    for form in ("kg", "link"):
        shutil.copy(raw / f"ml-100k.{form}", folder / f"ml-1m.{form}")
    own = fetch("ml-1m", folder)
    assert files(own)[2] == folder / "ml-1m.kg"
    assert own.links == "ml-1m.link"
    assert str(folder) in own.knowledge_origin


def test_ml_1m_goes_on_without_a_graph_and_says_why(tmp_path, no_pip, monkeypatch):
    folder = write_ml_1m(tmp_path / "own")
    publish_items(monkeypatch, folder)
    source = fetch("ml-1m", folder)
    assert (len(source.feeds), source.links) == (2, None)
    assert source.knowledge_origin.startswith("none, genre triples only: PyPI wheel recbole==1.2.1: ERROR: No matching")
    assert "Freebase" in source.licence


def test_a_wheel_without_a_layout_is_no_way_to_ratings(monkeypatch):
    monkeypatch.setitem(DATASETS, "ml-1m", replace(ML_1M, url=f"{DEAD}/ml-1m.zip"))
    monkeypatch.setattr(network, "download_wheel", lambda *_: pytest.fail("pip was asked"))
    with pytest.raises(InputError, match=r"ml-1m could not be obtained\n  tried: official archive"):
        fetch("ml-1m")


def test_the_wheel_is_the_next_way(raw, tmp_path, monkeypatch, dead_pip):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    wheel = pack_atomic(wheels, raw)
    with zipfile.ZipFile(wheel, "a") as zipped:
        zipped.writestr("recbole-1.2.1.dist-info/METADATA", "Metadata-Version: 2.1\nName: recbole\nVersion: 1.2.1\n")
        zipped.writestr(
            "recbole-1.2.1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        zipped.writestr("recbole-1.2.1.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    pretend(monkeypatch, raw, f"{DEAD}/ml-100k.zip")
    source = fetch("ml-100k")
    assert (source.layout, source.origin) == ("atomic", "PyPI wheel recbole==1.2.1")
    assert source.verified
    assert len(source.feeds) == 4
    assert len(source.tried) == 1
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    again = fetch("ml-100k")
    assert (again.digests, again.tried) == (source.digests, ())


def test_a_full_disk_is_named_and_not_taken_for_a_dead_network(raw, served, monkeypatch, small_disk):
    folder, address = served
    (raw / "u.data").write_bytes(b"1\t1\t5\t874724710\n" * (1 << 18))
    pretend(monkeypatch, raw, f"{address}/ml-100k.zip")
    pack(folder / "ml-100k.zip", raw, ("u.data", "u.item"))
    monkeypatch.setenv("RLREC_HOME", str(small_disk))
    with pytest.raises(InputError, match="no space left"):
        fetch("ml-100k")
    assert list((small_disk / "downloads" / "ml-100k").iterdir()) == []


def test_every_hash_is_a_sha256_of_its_own():
    digests = [form.sha256 for form in raw_files(ML_100K).values()]
    assert all(digest and len(bytes.fromhex(digest)) == hashlib.sha256().digest_size for digest in digests)
    assert len(set(digests)) == len(digests)


def test_the_real_files_have_the_verified_hashes(data, no_pip):
    source = fetch("ml-100k", data / "ml-100k")
    assert source.verified
    assert source.digests["u.data"] == manifest_digest(data, "ml-100k/u.data.gz")
    assert not fetch("ml-1m", data / "ml-1m").verified  # nobody has opened the official ratings.dat


def manifest_digest(data: Path, path: str) -> str:
    """The manifest's SHA-256 of the uncompressed file."""
    sets = json.loads((data / "MANIFEST.json").read_text())
    sets = sets["datasets"] if isinstance(sets, dict) else sets
    (found,) = [file["raw_sha256"] for one in sets for file in one["files"] if file["path"] == path]
    return found


def test_the_real_wheel_is_found_or_named(monkeypatch):
    monkeypatch.setitem(DATASETS, "ml-100k", replace(ML_100K, url=f"{DEAD}/ml-100k.zip"))
    try:
        source = fetch("ml-100k")
    except InputError as refusal:
        lack("wheel", refusal.problem.replace("\n", " "))
    assert source.verified
    assert source.layout == "atomic"
