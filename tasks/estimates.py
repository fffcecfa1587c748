"""Off-policy estimates from two Parquet files: load, evaluate each target policy, store, return the records."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import polars as pl

from rlrec.errors import InputError
from rlrec.ope.evaluation import Record, evaluate
from rlrec.ope.rounds import Rounds
from rlrec.ope.transforms import FAMILIES
from rlrec.ope.validation import policies
from tasks.artifacts import aside, digest_of

NUMBERS = ("value", "standard_error", "level", "low", "high", "ess", "max_weight_share", "mean_weight")
RECORD_SCHEMA: dict[str, pl.DataType] = {
    name: pl.Float64()
    if name in (*NUMBERS, "parameter", "true_value")
    else pl.Int64()
    if name in ("n", "n_clusters", "seed")
    else pl.String()
    for name in Record.__dataclass_fields__
}


def estimate_from_parquet(
    logs: Path,
    targets: Path,
    out: Path,
    *,
    level: float = 0.95,
    seed: int = 0,
    reward_min: float | None = None,
    reward_max: float | None = None,
    max_weight: float | None = None,
    loggers: Path | None = None,
    methods: Sequence[str] | None = None,
    planned_users: int | None = None,
    truth: dict[str, float] | None = None,
) -> list[dict[str, object]]:
    """Write `estimates.parquet`, `curve.parquet`, `verdict.json` into `out`; return a record per estimate and interval.

    Every target policy in the file is evaluated. Without q_hat and q_hat_target, DR and SNDR stay empty and their
    records say so. Bias bounds need both ends of the reward range. `loggers` holds every logging policy's probability
    of every shown item: their mixture then stands for the propensity. `truth` gives values that a simulator knows.

    Raises:
        InputError: a file is missing or not Parquet, columns are missing, or the rows cannot be evaluated.
    """
    if not 0 < level < 1:
        raise InputError(f"the level {level:g} is not between 0 and 1", remedy="for example --level 0.95")
    if (reward_min is None) != (reward_max is None):
        raise InputError("half a reward range", remedy="give both --reward-min and --reward-max, or neither")
    if out.exists() and not out.is_dir():
        raise InputError("the output is a file, a folder is needed", file=out, remedy="choose another --out")
    files = [logs, targets] if loggers is None else [logs, targets, loggers]
    logged, wanted, known = scan(logs), scan(targets), None if loggers is None else scan(loggers)
    reward_range = None if reward_min is None or reward_max is None else (reward_min, reward_max)
    digest = ":".join(digest_of(file) for file in files)
    records: list[dict[str, object]] = []
    verdicts: dict[str, object] = {}
    curves: list[pl.DataFrame] = []
    for policy in policies(wanted, file=targets):
        try:
            rounds = Rounds.from_tables(
                logged,
                wanted,
                policy,
                loggers=known,
                reward_range=reward_range,
                max_weight=max_weight,
                file=", ".join(map(str, files)),
            )
        except pl.exceptions.PolarsError as fault:
            raise unreadable(logs, fault) from fault
        result = evaluate(
            rounds,
            target_policy=policy,
            truth=(truth or {}).get(policy),
            level=level,
            seed=seed,
            families=FAMILIES,
            methods=methods,
            planned_users=planned_users,
            input_digest=digest,
            code_version=code_version(),
        )
        records += [record.to_record() for record in result.records]
        verdicts[policy] = result.to_record()
        curves.append(result.curve.insert_column(0, pl.lit(policy).alias("target_policy")))
    write(out / "estimates.parquet", pl.DataFrame(records, schema=RECORD_SCHEMA).write_parquet)
    write(out / "curve.parquet", pl.concat(curves).write_parquet)
    text = json.dumps(verdicts, indent=2, allow_nan=False)
    write(out / "verdict.json", lambda draft: draft.write_text(text + "\n", encoding="utf-8"))
    return records


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
