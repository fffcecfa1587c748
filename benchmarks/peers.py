"""Ingestion of a log of `benchmarks.logs` as one would write it with Polars or pandas, and DuckDB's bare copy.

Both peers do what `rlrec ingest` does to such a log: typed checks with rejects and their reasons kept apart,
vocabularies of users and items with dense ids from 1, exact repeats marked, partitions by bucket of users and by day,
sorted by user and time within, counts. What they leave out is in their favour: a line's number is that of the record
(Polars) or missing (pandas), a reject is kept as its fields (Polars), a last field that is missing counts as empty
(Polars), and nothing is hashed, resumable, or checked afterwards.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.logs import BEHAVIOURS, THREADS

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

FIELDS = ("user", "item", "behaviour", "time", "value")
EARLIEST, LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100, as in rlrec's mapping
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
WHOLE = r"\d{1,18}"
BYTES_PER_BUCKET = 64 << 20  # of text; as rlrec's
EVENT = ("user", "item", "behaviour", "value", "at")


@dataclass(frozen=True)
class Counts:
    """What became of a log."""

    accepted: int
    rejected: int
    repeats: int


def buckets_for(file: Path) -> int:
    """A power of 2, so that a bucket fits into memory."""
    return 1 << (file.stat().st_size // BYTES_PER_BUCKET).bit_length()


def copy(file: Path, out: Path, memory_limit: str) -> None:
    """The physical limit: DuckDB's `copy` of the file to Parquet, typed, lines that do not fit skipped."""
    import duckdb

    types = {"user": "varchar", "item": "varchar", "behaviour": "varchar", "time": "bigint", "value": "double"}
    limits = {"threads": THREADS, "memory_limit": memory_limit, "temp_directory": str(out / "spill")}
    with duckdb.connect(config={**limits, "preserve_insertion_order": False}) as connection:
        connection.execute(
            "copy (from read_csv($file, header = true, ignore_errors = true, columns = $types)) to $target",
            {"file": str(file), "types": types, "target": str(out / "log.parquet")},
        )


def polars(file: Path, out: Path) -> Counts:
    """Two streaming passes: judge into buckets; then name, mark, sort and partition each bucket by day."""
    import polars as pl

    buckets = buckets_for(file)
    records = pl.scan_csv(
        file,
        has_header=False,
        skip_lines=1,
        schema=dict.fromkeys((*FIELDS, "more"), pl.String),
        truncate_ragged_lines=True,
        missing_columns="insert",
        row_index_name="line",
        row_index_offset=2,
    ).filter(~pl.all_horizontal(pl.col(*FIELDS).is_null()))
    judged = records.with_columns(
        pl.col("time").cast(pl.Int64, strict=False).alias("seconds"),
        pl.col("value").cast(pl.Float64, strict=False).alias("number"),
    ).with_columns(reason=polars_reason())
    good = judged.filter(pl.col("reason").is_null()).select(
        "line", "user", "item", "behaviour", pl.col("number").alias("value"),
        pl.from_epoch("seconds").cast(pl.Datetime("us", "UTC")).alias("at"),
        (pl.col("user").hash() % buckets).cast(pl.Int32).alias("bucket"),
    )  # fmt: skip
    bad = judged.filter(pl.col("reason").is_not_null()).select("line", "reason", *FIELDS, "more")
    staged = out / "staged"
    pl.collect_all(
        [
            good.sink_parquet(pl.PartitionBy(staged, key="bucket"), mkdir=True, lazy=True),
            bad.sink_parquet(out / "rejects.parquet", lazy=True),
        ]
    )
    rows = pl.scan_parquet(staged / "**/*.parquet", hive_partitioning=True)
    names = {kind: vocabulary(rows, kind, out) for kind in ("user", "item")}
    accepted = repeats = 0
    for bucket in range(buckets):
        events = (
            rows.filter(pl.col("bucket") == bucket)
            .join(names["user"].lazy(), on="user")
            .join(names["item"].lazy(), on="item")
            .select("line", pl.col("user_id").alias("user"), pl.col("item_id").alias("item"), *EVENT[2:])
            .sort("user", "at", "line")
            .with_columns(repeat=~pl.struct(EVENT).is_first_distinct(), day=pl.col("at").dt.date())
            .collect()
        )
        accepted += len(events)
        repeats += int(events["repeat"].sum())
        place = pl.PartitionBy(out / "events" / f"bucket={bucket}", key="day", include_key=False)
        events.lazy().sink_parquet(place, mkdir=True)
    shutil.rmtree(staged)
    rejected = pl.scan_parquet(out / "rejects.parquet").select(pl.len()).collect().item()
    return Counts(accepted, rejected, repeats)


def polars_reason() -> "pl.Expr":
    """Why a record is rejected, or null."""
    import polars as pl

    return (
        pl.when(pl.col("more").is_not_null()).then(pl.lit("too many fields"))
        .when(pl.col("user").is_null()).then(pl.lit("no user"))
        .when(pl.col("item").is_null()).then(pl.lit("no item"))
        .when(~pl.col("behaviour").is_in(list(BEHAVIOURS)).fill_null(value=False)).then(pl.lit("unknown behaviour"))
        .when(pl.col("seconds").is_null()).then(pl.lit("time is no number"))
        .when(~pl.col("seconds").is_between(EARLIEST, LATEST)).then(pl.lit("time is not plausible"))
        .when(pl.col("value").is_not_null() & ~pl.col("number").is_finite().fill_null(value=False))
        .then(pl.lit("value is no finite number"))
    )  # fmt: skip


def vocabulary(rows: "pl.LazyFrame", kind: str, out: Path) -> "pl.DataFrame":
    """The names of one kind with their ids, which are stored, too."""
    import polars as pl

    names = rows.select(kind).unique().sort(kind).with_row_index(f"{kind}_id", offset=1).collect()
    names = names.with_columns(pl.col(f"{kind}_id").cast(pl.Int32))
    names.write_parquet(out / f"{kind}s.parquet")
    return names


def pandas(file: Path, out: Path) -> Counts:
    """Everything in memory, on Arrow's types and kernels."""
    import pandas as pd

    misfits: list[dict[str, Any]] = []

    def keep(row: Any) -> str:
        misfits.append({"reason": f"{row.actual_columns} fields", "raw": row.text})
        return "skip"

    options: dict[str, Any] = {
        "engine": "pyarrow",
        "dtype_backend": "pyarrow",
        "dtype": dict.fromkeys(FIELDS, "string[pyarrow]"),
        "keep_default_na": False,
        "on_bad_lines": keep,
    }
    log = pd.read_csv(file, names=FIELDS, header=0, **options)
    whole = log["time"].str.fullmatch(WHOLE)
    seconds = log["time"].where(whole).astype("int64[pyarrow]")
    filled = log["value"] != ""
    valued = log["value"].str.fullmatch(NUMBER)
    faults = {
        "no user": log["user"] == "",
        "no item": log["item"] == "",
        "unknown behaviour": ~log["behaviour"].isin(list(BEHAVIOURS)),
        "time is no number": ~whole,
        "time is not plausible": whole & ~seconds.between(EARLIEST, LATEST).fillna(False),
        "value is no finite number": filled & ~valued,
    }
    bad = pd.concat(faults, axis=1)
    wrong = bad.any(axis=1)
    rejects = log[wrong].assign(reason=bad[wrong].idxmax(axis=1))
    pd.concat([rejects, pd.DataFrame(misfits)]).to_parquet(out / "rejects.parquet", compression="zstd")
    good = ~wrong
    log, seconds = log[good], seconds[good]
    events = pd.DataFrame(
        {
            "user": ids(log["user"], "user", out),
            "item": ids(log["item"], "item", out),
            "behaviour": log["behaviour"].astype("category"),
            "value": log["value"].where(valued).astype("double[pyarrow]"),
            "at": pd.to_datetime(seconds.astype("int64"), unit="s", utc=True),
        }
    )
    del log
    events["repeat"] = events.duplicated(list(EVENT))
    events["day"] = events["at"].dt.floor("D")
    events["bucket"] = events["user"] % buckets_for(file)
    events = events.sort_values(["bucket", "day", "user", "at"], kind="stable")
    for place, part in events.groupby(["bucket", "day"], sort=False):
        bucket, day = cast(tuple[int, pd.Timestamp], place)
        folder = out / "events" / f"bucket={bucket}" / f"day={day:%Y-%m-%d}"
        folder.mkdir(parents=True)
        part.drop(columns=["bucket", "day"]).to_parquet(folder / "0.parquet", compression="zstd", index=False)
    return Counts(len(events), len(rejects) + len(misfits), int(events["repeat"].to_numpy().sum()))


def ids(names: "pd.Series", kind: str, out: Path) -> Any:
    """Dense ids of names, from 1; the vocabulary is stored."""
    import numpy as np
    import pandas as pd

    codes, known = pd.factorize(names, sort=True)
    pd.DataFrame({kind: known, f"{kind}_id": np.arange(1, len(known) + 1, dtype=np.int32)}).to_parquet(
        out / f"{kind}s.parquet", compression="zstd", index=False
    )
    return codes.astype(np.int32) + 1


def main(arguments: Sequence[str]) -> None:
    """`python -m benchmarks.peers NAME FILE OUT MEMORY_LIMIT`: run one, and leave its counts in OUT."""
    name, file, out, memory_limit = arguments[0], Path(arguments[1]), Path(arguments[2]), arguments[3]
    if name == "copy":
        return copy(file, out, memory_limit)
    counts = {"polars": polars, "pandas": pandas}[name](file, out)
    (out / "counts.json").write_text(json.dumps(asdict(counts)), encoding="utf-8")
    return None


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
