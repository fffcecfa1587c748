"""Summaries of a results folder: markdown for the orchestrator's page, and a few lines for the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from tasks.report.grids import KINDS, Cell, Grid, glance_grid, heldout_grids, policy_grid
from tasks.report.results import Results
from tasks.report.wording import caveats, estimator_title, headline_sentence

TERMINAL_METRICS = 4  # accuracy columns that fit beside the names
TERMINAL_VALUES = (*KINDS.values(), estimator_title("dr"), "Verdict")
SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]|#"} | {"<": "&lt;", "\n": " "})
STYLES = {"best": "bold", "verdict trust": "green", "verdict caution": "yellow", "verdict no_support": "red"}


def plain(text: str) -> str:
    """Text that markdown and the HTML inside it leave as it is."""
    return text.translate(SPECIAL)


def summary_markdown(results: Results) -> str:
    """Headline, the comparisons that decide, both tables, caveats."""
    grids = [glance_grid(results), policy_grid(results), *heldout_grids(results)]
    parts = [f"# {plain(headline_sentence(results))}"]
    parts += [markdown_table(grid) for grid in grids if grid is not None]
    parts.append("## Caveats\n\n" + "\n".join(f"- {plain(caveat)}" for caveat in caveats(results)))
    return "\n\n".join(parts) + "\n"


def markdown_table(grid: Grid) -> str:
    """A grid as a markdown table; groups become bold rows."""
    lines = ["| " + " | ".join(map(plain, (grid.rows_are, *grid.columns))) + " |"]
    lines.append("|---|" + "---:|" * len(grid.columns))
    for title, rows in grid.groups:
        if title:
            lines.append(f"| **{plain(title)}** |" + " |" * len(grid.columns))
        for row in rows:
            cells = (plain(row.name), *map(markdown_cell, row.cells))
            lines.append("| " + " | ".join(cells) + " |")
    return f"## {plain(grid.caption)}\n\n" + "\n".join(lines)


def markdown_cell(cell: Cell) -> str:
    """A cell with its interval in brackets; the best of a group in bold."""
    text = f"**{plain(cell.text)}**" if cell.style == "best" else plain(cell.text)
    return f"{text} ({plain(cell.detail)})" if cell.detail else text


def terminal_summary(results: Results, paths: Mapping[str, Path] | None = None) -> Group:
    """Headline, the two small tables and where the files are, for `rich`."""
    parts: list[Text | Table] = [Text(headline_sentence(results), style="bold")]
    policies, accuracy = policy_grid(results), heldout_grids(results)[:1]
    parts += [terminal_table(policies, TERMINAL_VALUES)] if policies else []
    parts += [terminal_table(grid, grid.columns[:TERMINAL_METRICS]) for grid in accuracy]
    parts += [Text(f"{name}: {path}", overflow="fold") for name, path in (paths or {}).items()]
    return Group(*parts)


def terminal_table(grid: Grid, columns: Sequence[str]) -> Table:
    """A grid's named columns as a narrow terminal table: values only, intervals stand in the report."""
    places = [place for place, title in enumerate(grid.columns) if title in columns]
    table = Table(title=Text(grid.caption), title_justify="left", box=None, pad_edge=False, title_style="bold")
    table.add_column(grid.rows_are, no_wrap=True)
    for place in places:
        table.add_column(Text(grid.columns[place]), justify="right")
    for group, rows in grid.groups:
        if group:
            table.add_row(Text(group, style="dim"))
        for row in rows:
            cells = [row.cells[place] for place in places]
            table.add_row(Text(row.name), *(Text(cell.text, style=STYLES.get(cell.style, "")) for cell in cells))
    return table
