"""The table of public sources names every source, its files, and the tables that they feed; nothing else."""

import re
from pathlib import Path

import pytest

from tasks.sources import DATASETS
from tasks.sources.catalogue.bundles import BUNDLES
from tasks.sources.catalogue.logs import LogPart

ROOT = Path(__file__).resolve().parents[2]
NAME, OPEN_BANDIT = re.compile(r"`([^`]+)`"), re.compile(r"open-bandit-(\w+)-(\w+)")


def rows() -> dict[str, list[str]]:
    """Source to the cells beside its name."""
    lines = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    return {name: told for names, *told in cells for name in NAME.findall(names)}


def files_told(name: str, cell: str) -> dict[str, bool]:
    """File to whether it may lack, as the table says."""
    if bandit := OPEN_BANDIT.fullmatch(name):
        cell = cell.replace("POLICY", bandit[1]).replace("CAMPAIGN", bandit[2])
    return {file: f"(`{file}`)" in cell for file in NAME.findall(cell)}


def table_of(part: object) -> str:
    """The table that a part feeds."""
    if isinstance(part, LogPart):
        return "slates" if part.source.is_slates else "events"
    return type(part.statement).table


def test_every_source_has_a_row():
    assert set(rows()) == set(DATASETS) | set(BUNDLES)


@pytest.mark.parametrize("name", BUNDLES)
def test_files_and_tables_are_those_of_the_code(name):
    files, tables, caveat = rows()[name]
    parts = BUNDLES[name].parts
    needed = {part.name for part in parts if not part.optional}
    assert files_told(name, files) == {part.name: part.name not in needed for part in parts}
    assert set(tables.split(", ")) == {table_of(part) for part in parts}
    assert caveat


@pytest.mark.parametrize("name", DATASETS)
def test_files_of_what_is_downloaded(name):
    dataset, told = DATASETS[name], files_told(name, rows()[name][0])
    files = {form.name for layout in dataset.layouts for form in (layout.ratings, layout.items)}
    graphs = {form.name for graph in dataset.graphs for form in (graph.knowledge, graph.links)}
    users = {layout.users.name for layout in dataset.layouts}
    assert told == dict.fromkeys(files, False) | dict.fromkeys(graphs | users, True)
