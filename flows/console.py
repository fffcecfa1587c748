"""What a flow shows at the terminal while it runs and when it ends, and `python -m flows.NAME PRESET`."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

PRESET = Annotated[str, typer.Argument(help="A preset such as ml-100k/grpo_slate, or the path of a TOML file.")]
DATA = Annotated[Path | None, typer.Option("--data", help="Your own copy of the raw files: a folder or a zip.")]
CHANGES = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value of the preset: section.key=value; repeat as needed."),
]


def plan_of(preset: str, data: Path | None, changes: list[str] | None) -> Any:
    """The typed plan of a preset with the command line's changes."""
    from tasks import environment

    environment.prepare()
    from tasks import presets

    return presets.load(preset, changes or (), None if data is None else str(data))


def run_plan(flow: Callable[..., Any], plan: Any) -> Any:
    """Run a flow on a plan with progress on the terminal; warnings of libraries stay in the log."""
    from tasks.artifacts import home

    home().mkdir(parents=True, exist_ok=True)
    with progress(f"{plan.name}: starting"):
        return flow(plan)


def run_flow(flow: Callable[..., Any]) -> None:
    """The command line of one flow: PRESET [--data P] [--set key=value ...] [--debug]."""
    from flows.cli import Commands, configure

    app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.callback()(configure)

    @app.command("flow")
    def main(  # pyright: ignore[reportUnusedFunction] - typer calls it
        preset: PRESET, data: DATA = None, changes: CHANGES = None
    ) -> None:
        """Run this flow on a preset; what was computed before is not made again."""
        from rlrec.errors import InputError

        plan = plan_of(preset, data, changes)
        if not isinstance(plan, get_type_hints(flow.fn)["plan"]):  # pyright: ignore[reportFunctionMemberAccess] - a Flow
            raise InputError(f"{preset} is a preset of the kind {plan.kind}", remedy=f"start it by: rlrec run {preset}")
        typer.echo(run_plan(flow, plan))

    words = sys.argv[1:]
    debug = [word for word in words if word == "--debug"]
    app(args=[*debug, "flow", *(word for word in words if word != "--debug")], prog_name=f"flows.{flow.__name__}")


@contextmanager
def progress(first: str) -> Iterator[None]:
    """A spinner that shows the latest log line of the tasks, and a line above it for each finished stage."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        line = bar.add_task(first)
        started = time.monotonic()

        class Shown(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                text = record.getMessage()
                bar.update(line, description=text[: max(20, console.width - 16)])
                if record.levelno >= logging.WARNING or ": done in" in text or not console.is_terminal:
                    console.print(f"[{time.monotonic() - started:6.1f} s] {text}", markup=False, highlight=False)

        handler = Shown(level=logging.INFO)
        tasks = logging.getLogger("tasks")
        before = tasks.level
        tasks.addHandler(handler)
        tasks.setLevel(logging.INFO)
        try:
            yield
        finally:
            tasks.removeHandler(handler)
            tasks.setLevel(before)


def show_exchange(outcome: Any) -> None:
    """The table in short, and where all of it lies."""
    from rich.console import Console

    from tasks.exchange import basis, latest, terminal_table

    Console().print(terminal_table(outcome.table))
    typer.echo(basis(outcome.table))
    typer.echo(f"the whole table, and what `rlrec ope` wrote for each row: {latest()}")


def show_outcome(outcome: Any) -> None:
    """The headline, two small tables and where everything lies."""
    from rich.console import Console

    from tasks.report.results import read_results
    from tasks.report.summaries import terminal_summary

    paths = {
        "report": outcome.report.path,
        "tables": outcome.results.path,
        "recommendations": outcome.recommendations.path,
    }
    Console().print(terminal_summary(read_results(outcome.results.path), paths))
    model = outcome.model
    typer.echo(f"model: models:/{model.name}@{model.alias} (version {model.version})")
    if outcome.cached_from:
        typer.echo(f"nothing had changed: results are those of MLflow run {outcome.cached_from}")
    typer.echo("next: `make ui` opens the Prefect and MLflow pages of this run")
