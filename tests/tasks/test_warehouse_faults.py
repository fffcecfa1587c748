"""Faults: whatever stops an ingestion, the warehouse holds its old state or its new one, and a rerun ends as if nothing
had happened."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from rlrec.errors import InputError
from tasks import loading, warehouse
from tasks.artifacts import digest_of
from tasks.manifest import LOCK, WORK, Manifest, read_manifest
from tasks.warehouse import ingest
from tests.logs import assert_sound, day_of_log, external_events, files_of, manifest_of, source_of, write_log

ROWS, BUCKET_BYTES, KILLS = 400, 4096, 20
INGEST = """
import sys
from pathlib import Path
from tasks import loading, warehouse
from tests.logs import source_of

loading.BUCKET_BYTES = {bytes}
commit = warehouse.commit

def waiting(*arguments):
    print("loaded", flush=True)
    sys.stdin.readline()
    return commit(*arguments)

if {wait}:
    warehouse.commit = waiting
print("ready", flush=True)
sys.stdin.readline()
warehouse.ingest(source_of(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.fixture(autouse=True, scope="module")
def small_buckets():
    """Several buckets even for small files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "BUCKET_BYTES", BUCKET_BYTES)
        yield


@dataclass(frozen=True)
class State:
    """What can be told of a warehouse."""

    manifest: Manifest
    events: pl.DataFrame
    view: str


def state(folder: Path) -> State:
    """As it is now, and sound."""
    manifest = assert_sound(folder)
    assert manifest.view is not None
    return State(manifest, external_events(folder), digest_of(folder / manifest.view, {warehouse.ORIGIN}))


def same(one: State, other: State) -> bool:
    """Whether nothing tells the two apart."""
    return (one.manifest, one.view) == (other.manifest, other.view) and one.events.equals(other.events)


@dataclass(frozen=True)
class Story:
    """A warehouse of one day, the file of the next, and how both look without any fault."""

    first: Path
    file: Path
    old: State
    new: State


@pytest.fixture(scope="module")
def story(tmp_path_factory) -> Story:
    """Told once."""
    folder = tmp_path_factory.mktemp("story")
    days = [write_log(folder / f"day{day}.csv", day_of_log(day, ROWS)) for day in range(2)]
    ingest(source_of(days[0]), folder / "first")
    whole = shutil.copytree(folder / "first", folder / "whole")
    ingest(source_of(days[1]), whole)
    return Story(folder / "first", days[1], state(folder / "first"), state(whole))


def assert_heals(folder: Path, story: Story) -> None:
    """A rerun ends in exactly the new state and leaves nothing else behind."""
    for _ in range(2):  # the second one sweeps what the first one replaced
        ingest(source_of(story.file), folder)
    assert same(state(folder), story.new)
    assert files_of(folder).keys() == {file.path for file in manifest_of(folder).files}
    assert {place.name for place in folder.iterdir()} == {"manifest.json", "base", "views", LOCK}
    assert [view.name for view in (folder / "views").iterdir()] == [Path(str(story.new.manifest.view)).name]


def started(file: Path, folder: Path, *, wait: bool = False) -> subprocess.Popen[str]:
    """A process about to ingest the file; a line on its standard input lets it go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", INGEST.format(bytes=BUCKET_BYTES, wait=wait), str(file), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    told(process, "ready")
    return process


def told(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process says this."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word


def go_on(process: subprocess.Popen[str]) -> None:
    """Let it go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def killed(file: Path, start: Path | None, folder: Path) -> Iterator[Path]:
    """Copies of the warehouse `start`, or folders that are not there, each with an ingestion of the file killed in it
    at a random moment; the copy is removed after use."""
    draw, seconds = random.Random(0), 0.0
    for number in range(KILLS + 1):
        trial = folder / f"trial{number}"
        if start is not None:
            shutil.copytree(start, trial)
        with started(file, trial) as process:
            go_on(process)
            began = time.monotonic()
            if number == 0:
                assert process.wait() == 0
                seconds = time.monotonic() - began
            else:
                time.sleep(draw.uniform(0, seconds))
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
        yield trial
        shutil.rmtree(trial, ignore_errors=True)


@pytest.mark.slow  # a process for each kill
def test_a_kill_at_any_moment_leaves_the_old_state_or_the_new_one(story, tmp_path):
    seen = set[int]()
    for trial in killed(story.file, story.first, tmp_path):
        found = state(trial)
        after = story.new.manifest.model_copy(update={"view": story.old.manifest.view})
        assert same(found, story.old) or same(found, story.new) or found.manifest == after
        seen.add(found.manifest.generation)
        assert_heals(trial, story)
    assert 1 in seen


@pytest.mark.slow  # a process for each kill
def test_a_kill_at_any_moment_of_the_first_ingestion_leaves_nothing_or_the_whole(story, tmp_path):
    seen = set[bool]()
    file = story.file.with_name("day0.csv")
    for trial in killed(file, None, tmp_path):
        there = read_manifest(trial)
        assert there in (None, story.old.manifest, story.old.manifest.model_copy(update={"view": None}))
        seen.add(there is None)
        ingest(source_of(file), trial)
        assert same(state(trial), story.old)
        assert_heals(trial, story)
    assert True in seen


def test_what_a_manifest_names_is_on_the_disk_before_it(story, tmp_path, monkeypatch):
    folder, settled, named = tmp_path / "warehouse", list[Path](), list[set[Path]]()
    fsync, replace = os.fsync, Path.replace

    def noted(descriptor: int) -> None:
        settled.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def replaced(draft: Path, target: Path) -> Path:
        if target == folder / "manifest.json":
            assert settled[-1] == draft
            manifest = Manifest.model_validate_json(draft.read_text(encoding="utf-8"))
            files = {folder / file.path for file in manifest.files}
            files |= set((folder / manifest.view).iterdir()) if manifest.view else set()
            folders = {place for file in files for place in file.parents if place.is_relative_to(folder)}
            assert files | folders <= set(settled)
            named.append(files)
        return replace(draft, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", replaced)
    ingest(source_of(story.file.with_name("day0.csv")), folder)
    ingest(source_of(story.file), folder)
    assert len(named) == 4  # base and corpus, twice
    assert named[3] != named[1]


def test_of_two_ingestions_at_once_one_wins_and_the_other_says_so(story, tmp_path):
    folder = shutil.copytree(story.first, tmp_path / "warehouse")
    with started(story.file, folder, wait=True) as winner:
        go_on(winner)
        told(winner, "loaded")
        with pytest.raises(InputError, match=rf"another ingestion is writing here \(process {winner.pid}\)") as refusal:
            ingest(source_of(story.file), folder)
        assert refusal.value.file == str(folder)
        assert same(state(folder), story.old)  # readers see the old state all the while
        go_on(winner)
        assert winner.wait() == 0
    assert same(state(folder), story.new)
    assert_heals(folder, story)


STEPS = ("prepare", "load_bucket", "commit", "write_view")


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_in_any_step_leaves_the_old_state_or_the_new_one(story, tmp_path, monkeypatch, step):
    folder = shutil.copytree(story.first, tmp_path / "warehouse")
    with monkeypatch.context() as patch:
        patch.setattr(warehouse, step, failing(getattr(warehouse, step)))
        with pytest.raises(RuntimeError, match="the worker is gone"):
            ingest(source_of(story.file), folder)
    found = assert_sound(folder)
    assert found.generation == story.old.manifest.generation + (step == "write_view")
    assert external_events(folder).equals(story.old.events)  # of the newest corpus
    assert not (folder / WORK).exists()
    assert_heals(folder, story)


def failing(step):
    """The step, which does its work the first time and fails after it."""

    def fails(*arguments, **options):
        if step is warehouse.load_bucket and arguments[1] == 0:
            return step(*arguments, **options)
        raise RuntimeError("the worker is gone")

    return fails


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_in_any_step_leaves_the_old_state_or_the_new_one(story, small_disk, monkeypatch, step):
    folder = shutil.copytree(story.first, small_disk / "warehouse")
    filler = small_disk / "filler"

    def full(*arguments, **options):
        fill(filler)
        return wrapped(*arguments, **options)

    with monkeypatch.context() as patch:
        wrapped = getattr(warehouse, step)
        patch.setattr(warehouse, step, full)
        with pytest.raises(InputError, match="no space left"):
            ingest(source_of(story.file), folder)
    assert assert_sound(folder).generation == story.old.manifest.generation + (step == "write_view")
    assert external_events(folder).equals(story.old.events)
    filler.unlink()
    assert_heals(folder, story)


def test_a_disk_that_is_full_from_the_start_is_named(story, small_disk):
    folder = shutil.copytree(story.first, small_disk / "warehouse")
    fill(small_disk / "filler")
    for target in (folder, small_disk / "new"):
        with pytest.raises(InputError, match="no space left"):
            ingest(source_of(story.file), target)
    assert same(state(folder), story.old)


def fill(file: Path) -> None:
    """Leave no byte on the file's disk."""
    with file.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while stream.write(bytes(size)):
                    pass
            except OSError:
                continue


def test_a_folder_that_cannot_be_written_is_named(story, small_disk):
    folder = shutil.copytree(story.first, small_disk / "warehouse")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for target in (folder, small_disk / "new"):
        with pytest.raises(InputError, match="cannot be written") as refusal:
            ingest(source_of(story.file), target)
        assert refusal.value.file == str(target)
    assert same(state(folder), story.old)


def test_a_folder_below_a_file_is_named(story):
    with pytest.raises(InputError, match="cannot be written"):
        ingest(source_of(story.file), story.file / "warehouse")


def test_a_base_file_that_is_gone_is_named(story, tmp_path):
    folder = shutil.copytree(story.first, tmp_path / "warehouse")
    gone = story.old.manifest.of("vocabulary")[0].path
    (folder / gone).unlink()
    with pytest.raises(InputError, match="lacks") as refusal:
        ingest(source_of(story.file), folder)
    assert refusal.value.file == str(folder / gone)
