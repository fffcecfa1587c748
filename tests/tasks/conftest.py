"""A disk of two megabytes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.needs import lack

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
