"""Chromium for the browser tests: found on the path, or the tests skip; where it is required they fail."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str:
    """The path of an installed Chromium; skips without one, fails if RLREC_REQUIRE lists `browser`."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = "no Chromium on the path (Debian: apt-get install chromium)"
        if "browser" in os.environ.get("RLREC_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def chromium_path() -> str:
    return chromium()
