"""Ingestion beside its limit and its peers: `python -m benchmarks.ingest [--rows 10_000_000] [--only copy,rlrec]`.

One generated log (`benchmarks.logs`) goes through DuckDB's bare copy of the csv to Parquet (the physical limit),
through rlrec up to the checked and committed `base`, through the whole command `rlrec ingest`, which makes a corpus of
it, too, and through the steps of the base in Polars and in pandas (`benchmarks.peers`). Each run is a process of its
own, from its start to its end; rounds are interleaved, medians are shown. Whatever ingests must find what the generator
planted, and the same repeats. `base` also tells the seconds of its parts. Two workers stage blocks and load buckets
side by side: the seconds of `stage` are the clock's, those of the parts inside it (`block` cuts and parses lines,
`accepted_rows` and `keep` number names and write; the rest is SQL) and of `load_bucket` (`write_partition` sorts and
writes) add up over both.

`peak` is the kernel's largest resident set of the process (mapped files included); `held` is the largest sample of the
proportional set size of all its processes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pkgutil import resolve_name
from statistics import median
from types import ModuleType
from typing import Any

from benchmarks.pipeline import MEGABYTE, ROOT, Memory

ROWS, REPEATS, MEMORY_LIMIT = 10_000_000, 3, "1GB"
LIMIT = "copy"
KIBIBYTE = 1 << 10
CLOCKED = {
    "tasks.loading": ("stage", "name_all", "number_all", "write_partition"),
    "tasks.blocks:Layout": ("block",),
    "tasks.staging": ("accepted_rows", "keep"),
    "tasks.warehouse": ("load_bucket", "commit"),
}
"""The parts of the base, by where they are called from."""
COUNTED = ("accepted", "rejected", "repeats")
WAREHOUSE, COUNTS, PARTS = "warehouse", "counts.json", "parts.json"
COUNT_REPEATS = (
    "import duckdb, sys; "
    "print(*duckdb.execute('select count(*) filter (repeat) from read_parquet($1)', [sys.argv[1:]]).fetchone())"
)
MAX_REJECT_SHARE = 0.01
MAPPING = """\
max_reject_share = {max_reject_share}
partition = "day"

[[source]]
files = {file}

[source.columns]
user = "user_id"
item = "item_id"
behaviour = "event"
time = "timestamp"
value = "value"

[source.time]
unit = "s"

[source.behaviours]
{behaviours}
"""


@dataclass(frozen=True)
class Run:
    """One process, from its start to its end."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    held_bytes: int


def mapping_of(csv: Path, folder: Path, max_reject_share: float = MAX_REJECT_SHARE) -> Path:
    """Write the mapping that tells rlrec what a generated log's columns mean."""
    from benchmarks.logs import BEHAVIOURS

    file = folder / "log.toml"
    behaviours = "\n".join(f'{name} = "{name}"' for name in BEHAVIOURS)
    text = MAPPING.format(
        file=json.dumps(str(csv.absolute())), behaviours=behaviours, max_reject_share=max_reject_share
    )
    file.write_text(text, encoding="utf-8")
    return file


def ingest_base(csv: Path, out: Path, memory_limit: str) -> Run:
    """rlrec's base without a corpus: what the peers do, and every guarantee."""
    run = python(["benchmarks.ingest", "--child", str(csv), str(out), "--memory-limit", memory_limit])
    note_counts(out)
    return run


def base(csv: Path, out: Path, memory_limit: str) -> None:
    """`increment` of `tasks.warehouse`, its parts timed; run by a process of its own."""
    from tasks import warehouse
    from tasks.manifest import writing
    from tasks.sources import fetch

    parts: dict[str, float] = {}
    for place, names in CLOCKED.items():
        for name in names:
            clock(resolve_name(place), name, parts)
    source = fetch(str(mapping_of(csv, out)), None)
    with writing(out / WAREHOUSE) as (before, work):
        settings = warehouse.settings_of(source, memory_limit)
        warehouse.increment(source, out / WAREHOUSE, before, work, settings, warehouse.in_threads)
    (out / PARTS).write_text(json.dumps(parts), encoding="utf-8")


def clock(module: ModuleType | type, name: str, parts: dict[str, float]) -> None:
    """Let a function or a method add its seconds to `parts`."""
    body: Callable[..., object] = getattr(module, name)
    lock = threading.Lock()

    def timed(*arguments: object, **options: object) -> object:
        start = time.perf_counter()
        result = body(*arguments, **options)
        with lock:
            parts[name] = parts.get(name, 0.0) + time.perf_counter() - start
        return result

    setattr(module, name, timed)


def ingest_with_rlrec(csv: Path, out: Path, memory_limit: str) -> Run:
    """`rlrec ingest MAPPING --out DIR`."""
    arguments = [str(mapping_of(csv, out)), "--out", str(out / WAREHOUSE), "--memory-limit", memory_limit]
    run = python(["flows.cli", "ingest", *arguments], {"RLREC_HOME": str(out / "home")})
    note_counts(out)
    return run


def note_counts(out: Path) -> None:
    """Leave what the warehouse holds beside it; repeats are counted in the data, after the measured process."""
    warehouse = out / WAREHOUSE
    manifest = json.loads((warehouse / "manifest.json").read_text(encoding="utf-8"))
    (found,) = manifest["inputs"]
    files = [str(warehouse / file["path"]) for file in manifest["files"] if file["table"] == "events"]
    answer = subprocess.run([sys.executable, "-c", COUNT_REPEATS, *files], check=True, capture_output=True, text=True)
    values = (found["counts"]["accepted"], found["counts"]["quarantined"], int(answer.stdout))
    (out / COUNTS).write_text(json.dumps(dict(zip(COUNTED, values, strict=True))), encoding="utf-8")


def peer(name: str) -> Callable[[Path, Path, str], Run]:
    """One of `benchmarks.peers` in a process of its own."""
    return lambda csv, out, memory_limit: python(["benchmarks.peers", name, str(csv), str(out), memory_limit])


STEPS: Mapping[str, Callable[[Path, Path, str], Run]] = {
    LIMIT: peer(LIMIT),
    "base": ingest_base,
    "rlrec": ingest_with_rlrec,
    "polars": peer("polars"),
    "pandas": peer("pandas"),
}


def python(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a module to its end. This process stays small: a child's peak starts at what its parent holds.

    Raises:
        SystemExit: it failed; its output has been shown.
    """
    memory, done = Memory(), threading.Event()
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watcher = threading.Thread(target=memory.watch, args=(process, done), daemon=True)
    watcher.start()
    assert process.stderr
    fault = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{fault}\n{' '.join(arguments)} ended with {process.returncode}")
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * KIBIBYTE, memory.peak() or 0)


def write_log(rows: int, dirty: float, seed: int, out: Path) -> dict[str, Any]:
    """The log, made by another process; what is in it."""
    options = {"rows": rows, "dirty": dirty, "seed": seed, "out": out}
    command = [sys.executable, "-m", "benchmarks.logs", *(f"--{name}={value}" for name, value in options.items())]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def verify(name: str, found: Mapping[str, int], truth: Mapping[str, Any], first: Mapping[str, int]) -> None:
    """Nothing is measured that does less than the others: it finds what was planted, and what the first one found.

    Raises:
        SystemExit: it does not.
    """
    planted = {"accepted": truth["accepted"], "rejected": truth["rejected"], "repeats": first["repeats"]}
    if found != planted or found["repeats"] < truth["duplicates"]:
        raise SystemExit(f"{name} found {found}; planted {dict(truth)}, first found {first}")


def summed(runs: Sequence[Run], rows: int, limit_seconds: float | None) -> dict[str, Any]:
    """Medians over the rounds; memory is the largest of all."""
    seconds = median(run.seconds for run in runs)
    return {
        "seconds": seconds,
        "rows_per_second": rows / seconds,
        "share_of_limit": None if limit_seconds is None else limit_seconds / seconds,
        "cpu_seconds": median(run.cpu_seconds for run in runs),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "held_bytes": max(run.held_bytes for run in runs),
        "runs": [asdict(run) for run in runs],
    }


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """As text, a line for each step."""
    lines = [
        f"{'step':<8}{'seconds':>9}{'rows/s':>13}{'of limit':>10}{'CPU s':>8}{'peak MB':>9}{'held MB':>9}",
    ]
    for name, row in results.items():
        share = "-" if row["share_of_limit"] is None else f"{row['share_of_limit']:.0%}"
        lines.append(
            f"{name:<8}{row['seconds']:>9.2f}{row['rows_per_second']:>13,.0f}{share:>10}{row['cpu_seconds']:>8.1f}"
            f"{row['peak_bytes'] / MEGABYTE:>9,.0f}{row['held_bytes'] / MEGABYTE:>9,.0f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, verify, show, and write `bench/ingest.json` in the home folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--memory-limit", default=MEMORY_LIMIT, help="what DuckDB may take, in copy and in rlrec")
    parser.add_argument("--only", default=",".join(STEPS), help="some of the steps, separated by commas")
    parser.add_argument("--dirty", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        csv, out = options.child
        base(csv, out, options.memory_limit)
        return
    names = options.only.split(",")
    if unknown := set(names) - set(STEPS):
        parser.error(f"there is no step {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")

    place = Path(os.environ.get("RLREC_HOME", ".rlrec")).absolute() / "bench"
    scratch = place / "ingest"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    csv = scratch / "log.csv"
    truth = write_log(options.rows, options.dirty, options.seed, csv)
    print(
        f"{options.rows:,} rows, {truth['bytes'] / MEGABYTE:,.0f} MB, written in {truth['seconds']:.1f} s; "
        f"{os.cpu_count()} cores, memory limit {options.memory_limit}, medians of {options.repeats}"
    )
    runs: dict[str, list[Run]] = {name: [] for name in names}
    parts, first = dict[str, float](), dict[str, int]()
    for _ in range(options.repeats):
        for name in names:
            out = scratch / name
            out.mkdir()
            os.sync()  # nobody pays for what another has written
            runs[name].append(STEPS[name](csv, out, options.memory_limit))
            if name != LIMIT:
                found = json.loads((out / COUNTS).read_text(encoding="utf-8"))
                first = first or found
                verify(name, found, truth, first)
            if (out / PARTS).exists():
                parts = json.loads((out / PARTS).read_text(encoding="utf-8"))
            shutil.rmtree(out)
    limit = median(run.seconds for run in runs[LIMIT]) if LIMIT in runs else None
    results = {name: summed(found, options.rows, limit) for name, found in runs.items()}
    print(table(results))
    if parts:
        told = ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
        print(f"seconds in the last base: {told}")
    report = place / "ingest.json"
    facts = {
        "log": truth,
        "memory_limit": options.memory_limit,
        "cores": os.cpu_count(),
        "steps": results,
        "parts": parts,
    }
    report.write_text(json.dumps(facts, indent=1), encoding="utf-8")
    shutil.rmtree(scratch)
    print(f"written to {report}")


if __name__ == "__main__":
    main()
