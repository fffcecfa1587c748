"""The synthetic results, and the report rendered from them once."""

from pathlib import Path

import pytest

from tasks.report.page import render
from tasks.report.results import Results, read_results
from tests.tasks.report.synthetic import write_results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder of its own, to be damaged."""
    return write_results(tmp_path / "results")


@pytest.fixture
def results(folder: Path) -> Results:
    return read_results(folder)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a report; its results stand in `results` beside it."""
    home = tmp_path_factory.mktemp("report")
    render(write_results(home / "results"), home / "out")
    return home / "out"
