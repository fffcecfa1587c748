"""Ingestion beside its physical limit and its peers: `python -m benchmarks.ingest [--rows 10_000_000] [--repeats 3]`.

In one run, each in a process of its own and in turns: DuckDB's bare COPY of the same csv to Parquet (the limit),
rlrec's ingestion with every guarantee, and pipelines of Polars and of pandas that do the same steps: typed checks with
rejects kept apart, dense ids of users and items, equal events marked, partitions by day and bucket of users, sorted
within by user and time. Prints rows a second, the share of the limit and the peak resident memory of each.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import logs

MAPPING = """
partition = "day"
max_reject_share = 0.05

[[source]]
files = "log.csv"
columns = {{ user = "user_id", item = "item_id", time = "timestamp", behaviour = "event", value = "value" }}
time = {{ unit = "s" }}
behaviours = {{ view = "view", cart = "cart", purchase = "purchase" }}
"""
KINDS = ["view", "cart", "purchase"]
SCHEMA = {"user_id": "varchar", "item_id": "varchar", "event": "varchar", "timestamp": "varchar", "value": "varchar"}
LATEST = 4_102_444_800
BUCKETS = 8


def bare_copy(folder: Path, _: str) -> dict[str, float]:
    """DuckDB's COPY of the csv to Parquet: no checks but the parser's, nothing sorted, nothing named."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB", "preserve_insertion_order": False})
    connection.execute(
        f"copy (from read_csv('{folder / 'log.csv'}', columns = {SCHEMA}, ignore_errors = true)) "
        f"to '{folder / 'copy.parquet'}' (format parquet)"
    )
    return {}


def rlrec(folder: Path, memory_limit: str) -> dict[str, float]:
    """`increment` of tasks.warehouse: what `rlrec ingest` does up to the checked, committed base."""
    from tasks import loading, warehouse
    from tasks.manifest import writing
    from tasks.sources import fetch

    (folder / "log.toml").write_text(MAPPING.format())
    source = fetch(str(folder / "log.toml"))
    out = folder / "warehouse"
    laps: dict[str, float] = {}
    for name in ("stage", "name_all", "load_bucket"):
        timed(loading if name != "load_bucket" else warehouse, name, laps)
    with writing(out) as (before, work):
        settings = warehouse.settings_of(source, memory_limit)
        manifest = warehouse.increment(source, out, before, work, settings)
    return {
        **laps,
        "rows": float(manifest.accepted("events")),
        "rejected": float(manifest.inputs[0].counts.quarantined),
    }


def timed(module: object, name: str, laps: dict[str, float]) -> None:
    """Let a function add its seconds to `laps`."""
    body: Callable[..., object] = getattr(module, name)

    def run(*args: object, **kwargs: object) -> object:
        started = time.perf_counter()
        try:
            return body(*args, **kwargs)
        finally:
            laps[name] = laps.get(name, 0.0) + time.perf_counter() - started

    setattr(module, name, run)


def view(folder: Path, memory_limit: str) -> dict[str, float]:
    """The corpus of the warehouse that `rlrec` made: events numbered in the order of time, splits, checks."""
    from tasks.manifest import read_manifest
    from tasks.views import ViewSettings, write_view

    manifest = read_manifest(folder / "warehouse")
    assert manifest is not None
    write_view(folder / "warehouse", manifest, folder / "corpus", ViewSettings(), memory_limit, {})
    return {}


def with_polars(folder: Path, _: str) -> dict[str, float]:
    """Lazy and streaming where Polars can; the fields are split by hand, since it has no list of bad lines."""
    import polars as pl

    out = folder / "polars"
    out.mkdir()
    text = pl.scan_csv(
        folder / "log.csv", separator="\x01", quote_char=None, has_header=False, skip_rows=1, new_columns=["raw"]
    ).with_row_index("line", offset=2)
    fields = text.with_columns(parts=pl.col("raw").str.split(","))
    field = [pl.col("parts").list.get(place, null_on_oob=True) for place in range(5)]
    seconds, value = field[3].cast(pl.Int64, strict=False), field[4].cast(pl.Float64, strict=False)
    judged = fields.select(
        "line", "raw", user=field[0], item=field[1], event=field[2], seconds=seconds, value=value,
        reason=pl.when(pl.col("parts").list.len() != 5).then(pl.lit("fields"))
        .when(field[0] == "").then(pl.lit("user")).when(field[1] == "").then(pl.lit("item"))
        .when(~field[2].is_in(KINDS)).then(pl.lit("event"))
        .when(seconds.is_null() | ~seconds.is_between(0, LATEST)).then(pl.lit("timestamp"))
        .when((field[4] != "") & (value.is_null() | ~value.is_finite())).then(pl.lit("value")),
    )  # fmt: skip
    judged.filter(pl.col("reason").is_not_null()).select("line", "reason", "raw").sink_parquet(out / "rejects.parquet")
    good = judged.filter(pl.col("reason").is_null()).select("user", "item", "event", "seconds", "value")
    good.sink_parquet(out / "staged.parquet")
    staged = pl.scan_parquet(out / "staged.parquet")
    for kind in ("user", "item"):
        names = staged.select(pl.col(kind).unique().sort()).with_row_index("id", offset=1)
        names.sink_parquet(out / f"{kind}.parquet")
    for bucket in range(BUCKETS):
        part = staged.filter(pl.col("user").hash() % BUCKETS == bucket)
        for kind in ("user", "item"):
            named = pl.scan_parquet(out / f"{kind}.parquet").rename({"id": f"{kind}_id"})
            part = part.join(named, on=kind)
        at = pl.from_epoch("seconds", time_unit="s")
        same = ["user_id", "item_id", "event", "seconds", "value"]
        ordered = part.select("user_id", "item_id", "event", "value", "seconds", at=at, day=at.dt.date()).sort(
            "day", "user_id", "seconds", "item_id", "event", "value"
        )
        repeat = pl.struct(same) == pl.struct(same).shift(1)
        ordered.with_columns(repeat=repeat.fill_null(value=False)).sink_parquet(
            pl.PartitionBy(out / "base" / f"bucket={bucket}", key="day"), mkdir=True
        )
    return {"rows": float(staged.select(pl.len()).collect().item())}


def with_pandas(folder: Path, _: str) -> dict[str, float]:
    """In memory, as pandas is; Arrow's parser and strings, bad lines through a second look at the text."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv as pa_csv

    out = folder / "pandas"
    bad: list[tuple[str, str]] = []

    def refuse(row: pa_csv.InvalidRow) -> str:
        bad.append(("fields", row.text))
        return "skip"

    text = pa.string()
    table = pa_csv.read_csv(
        folder / "log.csv",
        parse_options=pa_csv.ParseOptions(invalid_row_handler=refuse),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(SCHEMA, text), strings_can_be_null=False),
    )
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    seconds = pd.to_numeric(frame["timestamp"], errors="coerce")
    value = pd.to_numeric(frame["value"].mask(frame["value"] == "", "0"), errors="coerce")
    faults = {
        "user": frame["user_id"] == "",
        "item": frame["item_id"] == "",
        "event": ~frame["event"].isin(KINDS),
        "timestamp": seconds.isna() | ~seconds.between(0, LATEST),
        "value": value.isna() | (frame["value"] == "nan"),
    }
    reason = pd.Series("", index=frame.index, dtype=pd.ArrowDtype(text))
    for name, wrong in faults.items():
        reason = reason.mask(wrong.astype(bool) & (reason == ""), name)
    (out / "base").mkdir(parents=True)
    rejected = frame[reason != ""].assign(reason=reason)
    rejected.to_parquet(out / "rejects.parquet")
    good = frame[reason == ""].assign(seconds=seconds[reason == ""].astype("int64"), value=value[reason == ""])
    for kind in ("user", "item"):
        codes, names = pd.factorize(good[f"{kind}_id"], sort=True)
        good[kind] = (codes + 1).astype("int32")
        pd.DataFrame({"external": names, "id": range(1, len(names) + 1)}).to_parquet(out / f"{kind}.parquet")
    good["at"] = pd.to_datetime(good["seconds"], unit="s", utc=True)
    good["day"], good["bucket"] = good["at"].dt.date, good["user"] % BUCKETS
    same = ["user", "seconds", "item", "event", "value"]
    good = good.sort_values(["bucket", "day", *same])[["bucket", "day", "at", *same]]
    good["repeat"] = good.duplicated(same)
    for (bucket, day), part in good.groupby(["bucket", "day"], sort=False):
        part.to_parquet(out / "base" / f"{day}-{bucket}.parquet")
    return {"rows": float(len(good)), "rejected": float(len(rejected) + len(bad))}


STEPS: dict[str, Callable[[Path, str], dict[str, float]]] = {
    "COPY": bare_copy, "rlrec": rlrec, "corpus": view, "polars": with_polars, "pandas": with_pandas,
}  # fmt: skip


def measured(step: str, folder: Path, memory_limit: str) -> dict[str, float]:
    """Run one step in a process of its own; its seconds, peak memory and what it tells."""
    words = [sys.executable, "-m", "benchmarks.ingest", "--step", step, "--folder", str(folder)]
    answer = subprocess.run([*words, "--memory-limit", memory_limit], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"{step}: {answer.stderr[-2000:]}")
    return json.loads(answer.stdout.splitlines()[-1])


def one_step(step: str, folder: Path, memory_limit: str) -> None:
    """The child's part."""
    started = time.perf_counter()
    told = STEPS[step](folder, memory_limit)
    told |= {"seconds": time.perf_counter() - started}
    told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(told))


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: int(text.replace("_", "")), default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--only", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--scratch", type=Path, help="where logs and results lie meanwhile")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args(words)
    if told.step:
        one_step(told.step, told.folder, told.memory_limit)
        return
    with tempfile.TemporaryDirectory(dir=told.scratch) as scratch:
        log = Path(scratch) / "log.csv"
        content = logs.write(log, told.rows, days=told.days)
        size = log.stat().st_size
        print(f"{told.rows:,} rows, {size / 1e6:,.0f} MB, dirty: {sum(content.values()) - told.rows:,}", flush=True)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in told.only}
        for repeat in range(told.repeats):
            folder = Path(scratch) / f"run{repeat}"
            folder.mkdir()
            (folder / "log.csv").hardlink_to(log)
            for name in told.only:
                found[name].append(measured(name, folder, told.memory_limit))
            subprocess.run(["rm", "-rf", str(folder)], check=True)
    limit = statistics.median(run["seconds"] for run in found["COPY"]) if found.get("COPY") else None
    print(f"{'':8} {'seconds':>8} {'from':>7} {'to':>7} {'rows/s':>12} {'of COPY':>8} {'peak MB':>8}")
    for name, runs in found.items():
        times = sorted(run["seconds"] for run in runs)
        middle = statistics.median(times)
        share = f"{limit / middle:8.0%}" if limit else " " * 8
        peak = max(run["peak_mb"] for run in runs)
        print(
            f"{name:8} {middle:8.2f} {times[0]:7.2f} {times[-1]:7.2f} {told.rows / middle:12,.0f} {share} {peak:8,.0f}"
        )
    for name, runs in found.items():
        rest = {key: round(value, 2) for key, value in runs[-1].items() if key not in ("seconds", "peak_mb")}
        if rest:
            print(f"{name}: {json.dumps(rest)}")


if __name__ == "__main__":
    main()
