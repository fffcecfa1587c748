"""Markdown and terminal summaries hold the headline, the tables and nothing that breaks their syntax."""

from dataclasses import replace
from pathlib import Path

import polars as pl
from rich.console import Console

from tasks.report.results import Results
from tasks.report.summaries import plain, summary_markdown, terminal_summary
from tasks.report.wording import headline_sentence, number


def shown(results: Results, width: int = 110) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal_summary(results, {"report": Path("out/report.html")}))
    return capture.get()


def test_markdown_holds_headline_tables_and_caveats(results: Results) -> None:
    text = summary_markdown(results)
    assert text.startswith(f"# {headline_sentence(results)}")
    assert "## Caveats" in text
    for metric in ("value", "ndcg@10"):
        decisive = results.paired.filter((pl.col("reference") == "ease_clicks") & (pl.col("metric") == metric))
        assert number(decisive["difference"][0], signed=True) in text
    for block in text.split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in rows}) <= 1


def test_markdown_escapes_names(results: Results) -> None:
    renamed = results.heldout.with_columns(label=pl.lit("a|b <i>*c*\n"))
    assert plain("a|b <i>*c*\n") in summary_markdown(replace(results, heldout=renamed, truth=results.truth.clear()))


def test_the_terminal_shows_headline_tables_and_paths(results: Results) -> None:
    text = shown(results)
    assert "In simulated feedback, Stage B (GRPO) beats EASE (train + clicks)" in text.replace("\n", " ")
    assert "no support" in text
    assert "Recall@10" in text
    assert "report: out/report.html" in text


def test_names_with_brackets_are_not_markup(results: Results) -> None:
    renamed = results.heldout.with_columns(label=pl.lit("[red]x[/red] [/]"))
    assert "[red]x[/red] [/]" in shown(replace(results, heldout=renamed, truth=results.truth.clear()))
