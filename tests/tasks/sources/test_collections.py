"""A collection: found inside a source distribution without running it, verified, kept; or the user's own copy."""

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from rlrec.errors import InputError
from tasks.sources import fetch, gather
from tasks.sources.catalogue.bundles import COLLECTIONS
from tasks.sources.catalogue.impressions import OPEN_BANDIT
from tests.official import open_bandit

POLICIES, CAMPAIGNS = ("random", "bts"), ("all", "men", "women")
TRAP = "raise SystemExit('the distribution was built')"


def content() -> dict[str, str]:
    """What the distribution carries: every log, and the other files by their names."""
    logs = {f: text for p in POLICIES for c in CAMPAIGNS for f, text in open_bandit(p, c).items()}
    return {name: logs.get(name, f"about {name}\n") for name in OPEN_BANDIT.files}


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution that pip finds here alone, with paths that would leave the folder, and a setup.py."""
    archive = tmp_path / "links" / "obp-0.5.7.tar.gz"
    archive.parent.mkdir()
    files = {f"obp-0.5.7/data/{name}": text for name, text in content().items()}
    files |= {"obp-0.5.7/setup.py": TRAP, "obp-0.5.7/PKG-INFO": "", "../../escaped.txt": "out"}
    with tarfile.open(archive, "w:gz") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            packed.addfile(entry, io.BytesIO(text.encode()))
    settings = {"NO_INDEX": "1", "FIND_LINKS": str(archive.parent), "CONFIG_FILE": "/dev/null"}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    known = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in content().items()}
    small = replace(OPEN_BANDIT, files=known)
    monkeypatch.setitem(COLLECTIONS, small.name, small)
    return archive


def test_it_is_taken_from_the_distribution_once_and_its_terms_stay_beside_it(distribution, own_home, tmp_path):
    source = gather("open-bandit")
    assert source.verified
    assert len(source.feeds) == 12
    distribution.unlink()
    (log, items) = fetch("open-bandit-bts-men").feeds
    assert (log.name, items.name) == ("bts/men/men.csv", "bts/men/item_context.csv")
    kept = own_home / "downloads" / "open-bandit" / "sdist"
    assert "CC BY 4.0" in (kept / "TERMS.txt").read_text()
    assert (kept / "LICENSE").exists()
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(kept.rglob("setup.py"))


def test_a_changed_file_is_refused_and_so_is_the_whole_where_one_log_is_meant(distribution, own_home):
    with pytest.raises(InputError, match="several sources"):
        fetch("open-bandit")
    gather("open-bandit")
    (own_home / "downloads" / "open-bandit" / "sdist" / "bts" / "men" / "men.csv").write_text("changed")
    with pytest.raises(InputError, match="not the one that was verified"):
        fetch("open-bandit-bts-men")


def test_out_of_reach_it_says_what_was_tried(distribution):
    distribution.unlink()
    with pytest.raises(InputError, match=r"tried: PyPI source distribution obp==0.5.7: ERROR.*") as refused:
        gather("open-bandit")
    assert "--path" in str(refused.value)


def test_an_own_archive_is_taken_as_it_is(distribution, monkeypatch):
    changed = dict.fromkeys(OPEN_BANDIT.files, "0" * 64)
    monkeypatch.setitem(COLLECTIONS, "open-bandit", replace(OPEN_BANDIT, files=changed))
    source = gather("open-bandit", distribution)
    assert (len(source.feeds), source.verified) == (12, False)
