"""A disk of two megabytes; MovieLens 100K, ingested once."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.artifacts import Artifact
from tasks.sources import fetch
from tasks.warehouse import ingest
from tests.needs import lack, need

SMALL_DISK_OPTIONS = "size=2m"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs that is soon full; where mounting is forbidden, the test says so."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", SMALL_DISK_OPTIONS, "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        lack("mount", "this account may not mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The corpus of the real official files and the wheel's knowledge graph."""
    need("data")
    folder = Path(os.environ["RLREC_TEST_DATA"]) / "ml-100k"
    return ingest(fetch("ml-100k", folder), tmp_path_factory.mktemp("movielens") / "corpus")


@pytest.fixture
def drawn() -> None:
    """Asks for figures as they are; a test of numbers gets along without a second of drawing."""


@pytest.fixture(autouse=True)
def blank_stills(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blank picture in place of each still, but where `drawn` asks for figures, and in the report's own tests."""
    if "drawn" not in request.fixturenames and request.path.parent.name != "report":
        for name in ("forest", "weight_curves"):
            monkeypatch.setattr(f"tasks.report.images.{name}", lambda *_, **__: b"")
