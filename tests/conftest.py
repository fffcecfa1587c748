"""Small thread pools, shape checks at run time, a home of its own for each test, and what a machine may lack."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy are imported
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("DO_NOT_TRACK", "true")

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

install_import_hook(["rlrec.ops", "rlrec.policies", "rlrec.batches"], "beartype.beartype")

from tests.needs import MISSING, need  # noqa: E402 - after the hook

if TYPE_CHECKING:
    from rlrec.corpus import Corpus
    from tests.learned import Learned


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker that names something a machine may lack asks for it."""
    for thing in MISSING:
        if item.get_closest_marker(thing):
            need(thing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which tests were skipped for want of what."""
    wanting: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        wanting[text.removeprefix("Skipped: ")].append(report.nodeid)
    if wanting:
        terminalreporter.section("skipped for want of (RLREC_REQUIRE=data,browser,... turns these into failures)")
        for reason, tests in sorted(wanting.items()):
            terminalreporter.line(f"{reason}: {len(tests)} test(s): {', '.join(tests)}")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RLREC_HOME of this test alone."""
    home = tmp_path / "home"
    monkeypatch.setenv("RLREC_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real public datasets, read in place."""
    need("data")
    return Path(os.environ["RLREC_TEST_DATA"])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> "Corpus":
    """The synthetic world, ingested once; what makes it is imported by those tests only that ask for it."""
    from rlrec.corpus import Corpus
    from tests.tiny import tiny_corpus

    return Corpus.of(tiny_corpus(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> "Learned":
    """A small world with graphs, logs, Stage A and evidence, made once."""
    from tests.learned import learn, tables

    folder = tmp_path_factory.mktemp("learned")
    return learn(tables(folder / "corpus"), folder)
