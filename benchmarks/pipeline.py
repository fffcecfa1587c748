"""Seconds and memory of the pipeline's stages beside a limit of this machine: `python -m benchmarks.pipeline [PRESET]`.

The preset runs twice in a home of its own, first with nothing stored, then with everything. Memory is the summed
proportional set size of the process tree, Prefect's server included (on systems without it, the resident set size).
Beside the stages stand, measured in the same minutes: DuckDB reading the same raw file, the sparse products that
LightGCN's training cannot do without, and Python importing what a run imports.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_PRESET = "ml-100k/grpo_slate"
INTERVAL_SECONDS = 0.2
REPEATS = 3
MEGABYTE = 1 << 20
IMPORTS = "import duckdb, matplotlib, mlflow, plotly, polars, prefect, sklearn, torch"


@dataclass
class Memory:
    """What a process tree holds, sampled by a thread: (seconds since the epoch, bytes)."""

    samples: list[tuple[float, int]] = field(default_factory=list)

    def watch(self, process: subprocess.Popen[str], done: threading.Event) -> None:
        """Sample until told to stop."""
        root = psutil.Process(process.pid)
        while not done.wait(INTERVAL_SECONDS):
            self.samples.append((time.time(), held(root)))

    def peak(self, start: float = 0.0, end: float = float("inf")) -> int | None:
        """The largest sample in a span of time; None when no sample fell into it."""
        return max((size for at, size in self.samples if start <= at <= end), default=None)


@dataclass(frozen=True)
class Stage:
    """One stored result: which task made it, when, and in how many seconds."""

    name: str
    start: float
    end: float


def held(root: psutil.Process) -> int:
    """Bytes of a process and all below it; pages that several share are counted once, in parts."""
    total = 0
    try:
        family = [root, *root.children(recursive=True)]
    except psutil.Error:
        return total
    for process in family:
        try:
            memory = process.memory_full_info()
        except psutil.Error:
            continue  # ended in between
        total += getattr(memory, "pss", memory.rss)
    return total


def measured(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, Memory]:
    """Run a command to its end: wall seconds, and the memory of its tree.

    Raises:
        SystemExit: the command failed; its output has been shown.
    """
    memory, done = Memory(), threading.Event()
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watcher = threading.Thread(target=memory.watch, args=(process, done), daemon=True)
    watcher.start()
    try:
        output, _ = process.communicate()
    finally:
        done.set()
        process.kill()
        process.wait()
    seconds = time.monotonic() - start
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{output}\n{' '.join(command)} ended with {process.returncode}")
    return seconds, memory


def stages(home: Path) -> list[Stage]:
    """What a run stored, in the order in which it ended: a result's description is written when it is made."""
    found: list[Stage] = []
    for note in (home / "store").glob("*/*.json"):
        seconds = json.loads(note.read_text(encoding="utf-8"))["seconds"]
        if seconds is not None:
            end = note.stat().st_mtime
            found.append(Stage(note.parent.name, end - seconds, end))
    return sorted(found, key=lambda stage: stage.end)


def summed(found: Sequence[Stage], memory: Memory) -> Iterator[tuple[str, float, int | None]]:
    """Stage, seconds over all its results, its largest memory; in order of first appearance."""
    grouped: dict[str, list[Stage]] = defaultdict(list)
    for stage in found:
        grouped[stage.name].append(stage)
    for name, members in grouped.items():
        peaks = [peak for stage in members if (peak := memory.peak(stage.start, stage.end)) is not None]
        yield name, sum(stage.end - stage.start for stage in members), max(peaks, default=None)


def raw_data(dataset: str, scratch: Path) -> tuple[Path, str]:
    """The raw files and what to call them: RLREC_TEST_DATA's, or fetched, or the synthetic tiny world."""
    from rlrec.errors import InputError
    from tasks.sources import fetch

    shared = Path(os.environ.get("RLREC_TEST_DATA", scratch / "none")) / dataset
    try:
        source = fetch(dataset, shared if shared.is_dir() else None)
    except InputError:
        from tests.tiny import write_tiny

        return write_tiny(scratch / "tiny"), "the synthetic tiny world, for want of data"
    return source.feeds[0].file.parent, source.title


def fastest(work: Any) -> float:
    """Least wall seconds of some tries."""
    spent: list[float] = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return min(spent)


def seconds_of_scan(file: Path) -> float:
    """DuckDB reads every field of a raw file and does nothing with them."""
    import duckdb

    with duckdb.connect() as connection:
        query = "select count(columns(*)) from read_csv($file, all_varchar = true)"
        return fastest(lambda: connection.execute(query, {"file": str(file)}).fetchall())


def seconds_of_products(corpus: Path, recipe: Any, seeds: int) -> float:
    """The sparse products of all Stage-A trainings, forward and backward, on the real graph."""
    import torch

    from rlrec.corpus import Corpus
    from rlrec.graph.bipartite import interactions, normalised_adjacency

    liked = interactions(Corpus.of(corpus), ["train"], positive_from=recipe.positive_from)
    graph = normalised_adjacency(liked)
    vectors = torch.rand(graph.shape[1], recipe.width)
    steps = -(-liked.nnz // recipe.batch_size) * recipe.epochs
    return fastest(lambda: graph @ vectors) * 2 * recipe.layers * steps * seeds


def seconds_of_imports() -> float:
    """A fresh Python that imports what a run imports."""
    return fastest(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True, capture_output=True))


def main(preset: str = DEFAULT_PRESET) -> None:
    """Measure, show, and write `bench/pipeline.json` in the home folder."""
    from tasks import presets, tracking
    from tasks.artifacts import home

    place = home() / "bench"
    scratch = place / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    plan = presets.load(preset)
    data, title = raw_data(plan.data.name, scratch)
    environment = {"RLREC_HOME": str(scratch / "home")}
    command = [sys.executable, "-m", "flows.cli", "run", preset, "--data", str(data)]
    print(f"{preset} on {title}, {psutil.cpu_count()} cores\n{' '.join(command[1:])}")
    cold, memory = measured(command, environment)
    found = stages(scratch / "home")
    warm, memory_warm = measured(command, environment)

    corpus = next(path.parent for path in (scratch / "home" / "store" / "ingest").glob("**/corpus.json"))
    ratings = max((path for path in data.iterdir() if path.is_file()), key=lambda path: path.name == "u.data")
    limits = {
        "ingest": ("DuckDB reads the ratings file", seconds_of_scan(ratings)),
        "pretrain": (
            "sparse products alone",
            seconds_of_products(corpus, plan.pretraining, len(plan.evaluation.seeds)),
        ),
        "first run": ("Python imports the libraries", imports := seconds_of_imports()),
        "second run": ("Python imports the libraries", imports),
    }
    measurements = [
        *summed(found, memory),
        ("first run", cold, memory.peak()),
        ("second run", warm, memory_warm.peak()),
    ]
    rows = [
        {
            "stage": name,
            "seconds": seconds,
            "peak_bytes": peak,
            "limit": limits.get(name, (None, None))[0],
            "limit_seconds": limits.get(name, (None, None))[1],
        }
        for name, seconds, peak in measurements
    ]
    print(f"{'stage':<16}{'seconds':>9}{'peak MB':>9}   beside it")
    for row in rows:
        size = "-" if row["peak_bytes"] is None else f"{row['peak_bytes'] / MEGABYTE:,.0f}"
        beside = "" if row["limit"] is None else f"{row['limit']}: {row['limit_seconds']:.3f} s"
        print(f"{row['stage']:<16}{row['seconds']:>9.1f}{size:>9}   {beside}")
    report = place / "pipeline.json"
    facts = {"preset": preset, "data": title, "commit": tracking.commit(), "versions": tracking.versions()}
    report.write_text(json.dumps({**facts, "cores": psutil.cpu_count(), "rows": rows}, indent=1), encoding="utf-8")
    shutil.rmtree(scratch)
    print(f"written to {report}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
