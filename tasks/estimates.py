"""Off-policy estimates from two Parquet files: load, evaluate each target policy, store, return the records."""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from rlrec.errors import InputError
from rlrec.ope.comparison import Summed, compared, logged, logged_stats, summed, summed_stats
from rlrec.ope.estimators import sndr, snips
from rlrec.ope.evaluation import Evaluation, Record, evaluate, evaluate_stats
from rlrec.ope.rounds import Rounds
from rlrec.ope.transforms import FAMILIES
from rlrec.ope.validation import KINDS, Kind, policies
from tasks.artifacts import aside, digest_of

IN_MEMORY_ROWS = 5_000_000  # beyond, the columns and all that is computed beside them take gigabytes
NUMBERS = ("value", "standard_error", "level", "low", "high", "ess", "max_weight_share", "mean_weight")
RECORD_SCHEMA: dict[str, pl.DataType] = {
    name: pl.Float64()
    if name in (*NUMBERS, "parameter", "true_value")
    else pl.Int64()
    if name in ("n", "n_clusters", "seed")
    else pl.String()
    for name in Record.__dataclass_fields__
}
COMPARISON_SCHEMA: dict[str, pl.DataType] = {
    **dict.fromkeys(("target_policy", "reference", "estimator"), pl.String()),
    **dict.fromkeys(("value", "standard_error", "level", "low", "high"), pl.Float64()),
    **dict.fromkeys(("method", "validity"), pl.String()),
}


def estimate_from_parquet(
    logs: Path,
    targets: Path | None,
    out: Path,
    *,
    level: float = 0.95,
    seed: int = 0,
    reward_min: float | None = None,
    reward_max: float | None = None,
    max_weight: float | None = None,
    loggers: Path | None = None,
    kind: str = "item_position",
    discount: float = 1.0,
    estimators: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    planned_users: int | None = None,
    one_pass: bool | None = None,
    memory_limit: str = "1GB",
    truth: dict[str, float] | None = None,
) -> list[dict[str, object]]:
    """Write `estimates.parquet`, `curve.parquet`, `comparison.parquet` and `verdict.json` into `out`.

    Returns a record per estimate and interval.

    Every target policy in the file is evaluated; without `targets` the log has their columns itself. Without q_hat and
    q_hat_target, DR and SNDR stay empty and their records say so. Bias bounds need both ends of the reward range.
    `kind` says what propensities and target probabilities are of: item_position, cascade, slate or trajectory, whose
    later steps count by `discount`. `loggers` holds
    every logging policy's probability of every shown item: their mixture then stands for the propensity. `truth` gives
    values that a simulator knows. `one_pass` reads the files once, within `memory_limit`, and keeps sums alone; unless
    said, it does for folders and for logs of more than `IN_MEMORY_ROWS` rows.

    Raises:
        InputError: a file is missing or not Parquet, columns are missing, or the rows cannot be evaluated.
    """
    if not 0 < level < 1:
        raise InputError(f"the level {level:g} is not between 0 and 1", remedy="for example --level 0.95")
    if (reward_min is None) != (reward_max is None):
        raise InputError("half a reward range", remedy="give both --reward-min and --reward-max, or neither")
    if kind not in KINDS:
        raise InputError(f"no kind of probability {kind!r}", remedy=f"choose among: {', '.join(KINDS)}")
    if out.exists() and not out.is_dir():
        raise InputError("the output is a file, a folder is needed", file=out, remedy="choose another --out")
    files = [file for file in (logs, targets, loggers) if file is not None]
    for file in files:
        if not file.is_dir():
            scan(file)
    reward_range = None if reward_min is None or reward_max is None else (reward_min, reward_max)
    known = truth or {}
    digest = ":".join(digest_of(file) for file in files)
    about = {"level": level, "seed": seed, "input_digest": digest, "code_version": code_version()}
    if one_pass is None:
        one_pass = any(file.is_dir() for file in files) or scan(logs).select(pl.len()).collect().item() > IN_MEMORY_ROWS
    found: Iterator[tuple[Evaluation, Summed, Summed]]
    if one_pass:
        if loggers is not None or estimators or kind != "item_position" or set(methods or ()) - {"cressie_read"}:
            raise InputError(
                "one pass knows no --loggers, --kind, --estimator, and no further interval but cressie_read",
                file=logs,
                remedy="leave them out, or take the log into memory: --in-memory",
            )
        from tasks.onepass import stats_by_policy  # it needs duckdb, which logs of usual size do without

        found = (
            (
                evaluate_stats(
                    stats,
                    target_policy=policy,
                    truth=known.get(policy),
                    reward_range=reward_range,
                    max_weight=max_weight,
                    **about,
                ),
                summed_stats(policy, "sndr" if stats.has_model else "snips", stats),
                logged_stats(stats),
            )
            for policy, stats in stats_by_policy(logs, targets, memory_limit, reward_range)
        )
    else:
        found = (
            (
                evaluate(
                    rounds,
                    target_policy=policy,
                    truth=known.get(policy),
                    families=FAMILIES,
                    estimators=estimators,
                    methods=methods,
                    planned_users=planned_users,
                    **about,
                ),
                summed(policy, (snips if rounds.q_hat is None else sndr)(rounds), rounds, seed=seed),
                logged(rounds, seed=seed),
            )
            for policy, rounds in rounds_by_policy(
                logs, targets, loggers, cast("Kind", kind), discount, reward_range, max_weight
            )
        )
    records: list[dict[str, object]] = []
    verdicts: dict[str, object] = {}
    curves: list[pl.DataFrame] = []
    policies_found: list[Summed] = []
    loggers_found: list[Summed] = []
    for result, one, logger in found:
        records += [record.to_record() for record in result.records]
        verdicts[one.name] = result.to_record()
        curves.append(result.curve.insert_column(0, pl.lit(one.name).alias("target_policy")))
        policies_found.append(one)
        loggers_found.append(logger)
    write(out / "estimates.parquet", pl.DataFrame(records, schema=RECORD_SCHEMA).write_parquet)
    write(out / "curve.parquet", pl.concat(curves).write_parquet)
    write(out / "comparison.parquet", comparison(policies_found, loggers_found, level, seed).write_parquet)
    text = json.dumps(verdicts, indent=2, allow_nan=False)
    write(out / "verdict.json", lambda draft: draft.write_text(text + "\n", encoding="utf-8"))
    return records


def comparison(found: Sequence[Summed], loggers: Sequence[Summed], level: float, seed: int) -> pl.DataFrame:
    """Every policy and its difference to the log's own, all at once; one by one where they were logged apart."""
    together = all(np.array_equal(one.units, loggers[0].units) for one in loggers)
    groups = [(found, loggers[0])] if together else [([one], two) for one, two in zip(found, loggers, strict=True)]
    rows = [row for group, logger in groups for row in compared(group, logger, level, seed=seed)]
    return pl.DataFrame(rows, schema=COMPARISON_SCHEMA).with_columns(pl.col(pl.Float64).fill_nan(None))


def rounds_by_policy(
    logs: Path,
    targets: Path | None,
    loggers: Path | None,
    kind: Kind,
    discount: float,
    reward_range: tuple[float, float] | None,
    max_weight: float | None,
) -> Iterator[tuple[str, Rounds]]:
    """Each target policy and its rounds, in memory."""
    logged, mixed = scan(logs), None if loggers is None else scan(loggers)
    wanted = scan(targets or logs)
    named = "target_policy" in wanted.collect_schema().names()
    if targets is None and not named:
        wanted = wanted.with_columns(target_policy=pl.lit("target"))
    for policy in policies(wanted, file=targets or logs):
        own = logged.filter(pl.col("target_policy") == policy) if targets is None and named else logged
        try:
            rounds = Rounds.from_tables(
                own,
                wanted,
                policy,
                loggers=mixed,
                kind=kind,
                discount=discount,
                reward_range=reward_range,
                max_weight=max_weight,
                file=", ".join(str(file) for file in (logs, targets, loggers) if file is not None),
            )
        except pl.exceptions.PolarsError as fault:
            raise unreadable(logs, fault) from fault
        yield policy, rounds


def scan(path: Path) -> pl.LazyFrame:
    """A Parquet file, lazily, after a look at its schema.

    Raises:
        InputError: it is not there, or not Parquet.
    """
    if not path.is_file():
        raise InputError("no such file", file=path, remedy="give the path of a Parquet file")
    frame = pl.scan_parquet(path, glob=False)
    try:
        frame.collect_schema()
    except pl.exceptions.PolarsError as fault:
        raise unreadable(path, fault) from fault
    return frame


def unreadable(path: Path, fault: Exception) -> InputError:
    """The error for bytes that are not a Parquet table."""
    why = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return InputError(
        f"the file cannot be read as Parquet: {why}", file=path, remedy="write the table again, as Parquet"
    )


def write(target: Path, fill: Callable[[Path], object]) -> None:
    """Fill a draft beside the target, then rename it."""
    with aside(target) as draft:
        fill(draft)


def code_version() -> str | None:
    """The installed version, if the package is installed."""
    try:
        return version("rlrec")
    except PackageNotFoundError:
        return None
