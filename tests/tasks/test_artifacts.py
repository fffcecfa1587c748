"""Artifacts: all or nothing, and a digest that sees every byte and every name."""

import errno
import hashlib
import os
from pathlib import Path

import duckdb
import pytest

from rlrec.errors import InputError
from tasks.artifacts import Artifact, aside, digest_of, home, no_half_written, store


def write_text(draft: Path) -> int:
    draft.write_text("new")
    return 1


def leftovers(folder: Path) -> list[str]:
    """What lies in the folder, apart from the test's home."""
    return sorted(place.name for place in folder.iterdir() if place.name != "home")


def test_store_describes_what_it_wrote(tmp_path):
    artifact = store("note", tmp_path / "deep" / "note.txt", write_text)
    assert artifact.path.read_text() == "new"
    assert artifact == Artifact(
        uri=str(tmp_path / "deep" / "note.txt"), digest=hashlib.sha256(b"new").hexdigest(), kind="note", rows=1
    )
    assert leftovers(tmp_path / "deep") == ["note.txt"]


def test_what_is_stored_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    target, settled = tmp_path / "made", list[Path]()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        assert target.exists() == (place == tmp_path)
        settled.append(place)
        fsync(descriptor)

    def write(draft: Path) -> int:
        (draft / "inner").mkdir(parents=True)
        (draft / "inner" / "rows").write_text("1")
        return 1

    monkeypatch.setattr(os, "fsync", noted)
    store("thing", target, write)
    assert [place.name for place in settled if place != tmp_path][:-1] == ["made", "rows", "inner", "made"]
    assert settled[-1] == tmp_path


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "note.txt").write_text("old")

    def break_off(draft: Path) -> int:
        draft.write_text("half")
        return 1 // 0

    with pytest.raises(ZeroDivisionError):
        store("note", tmp_path / "note.txt", break_off)
    assert (tmp_path / "note.txt").read_text() == "old"
    assert leftovers(tmp_path) == ["note.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "stale").write_text("old")
    with aside(target) as draft:
        draft.mkdir()
        (draft / "fresh").write_text("new")
    assert leftovers(target) == ["fresh"]
    assert leftovers(tmp_path) == ["folder"]


def test_the_digest_of_a_folder_sees_names_and_bytes(tmp_path):
    digests = set()
    for name, text in (("a", "x"), ("b", "x"), ("a", "y")):
        folder = tmp_path / f"{name}{text}"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / name).write_text(text)
        digests.add(digest_of(folder))
    assert len(digests) == 3


def test_a_full_disk_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no space left") as refusal, aside(tmp_path / "note.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "RLREC_HOME" in str(refusal.value.remedy)
    assert leftovers(tmp_path) == []


def test_a_really_full_disk_is_an_input_error(small_disk):
    with pytest.raises(InputError, match="no space left"), aside(small_disk / "big") as draft:
        draft.write_bytes(bytes(4 << 20))
    assert leftovers(small_disk) == []


def test_other_faults_of_the_disk_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), aside(tmp_path / "note.txt"):
        raise PermissionError(errno.EACCES, "denied")


def test_home_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RLREC_HOME", str(tmp_path / "elsewhere"))
    assert home() == tmp_path / "elsewhere"
    monkeypatch.delenv("RLREC_HOME")
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path / ".rlrec"


def test_what_stands_apart_is_stored_and_not_digested(tmp_path):
    def writer(origin: str, content: str):
        def write(draft):
            draft.mkdir()
            (draft / "origin.json").write_text(origin)
            (draft / "table").write_text(content)

        return write

    one, moved, other = (
        store("table", tmp_path / name, writer(origin, content), apart={"origin.json"})
        for name, origin, content in (("one", "here", "1"), ("moved", "there", "1"), ("other", "here", "2"))
    )
    assert one.digest == moved.digest != other.digest
    assert (moved.path / "origin.json").read_text() == "there"
    assert store("table", tmp_path / "one", writer("here", "1")).digest != one.digest


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "full"), duckdb.IOException("x: No space left on device")])
def test_a_full_disk_is_named_whoever_meets_it(tmp_path, fault):
    with pytest.raises(InputError, match="no space left"), no_half_written(tmp_path / "target"):
        raise fault
    with pytest.raises(ValueError, match="else"), no_half_written(tmp_path / "target"):
        raise ValueError("something else")
