"""Graphs of a large log beside their memory: `python -m benchmarks.graphs [--rows 10_000_000] [--hubs 0 1000]`.

A generated log (`benchmarks.logs`) becomes base and view by `rlrec ingest`; a process of its own then builds what the
pipeline builds, user-item edges and the strongest neighbours along item-user-item, without a limit (0) or leaving users
of more than so many items out of the second. Both peaks are to stay within ingestion's memory limit and 300 MB.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ingest import MEMORY_LIMIT, WAREHOUSE, ingest_with_rlrec, python, write_log
from benchmarks.pipeline import MEGABYTE

ROWS, HUBS = 10_000_000, (0, 1000)
DIRTY, SEED = 0.001, 1


def build(corpus: Path, target: Path, hub: int) -> None:
    """The graphs of a corpus, into Parquet; run by a process of its own."""
    from tasks.artifacts import Artifact
    from tasks.graphs import graphs

    graphs(Artifact(uri=str(corpus), digest="", kind="corpus"), 4.0, target=target, hub=hub or None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the log and the corpus, build, show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graphs", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--hubs", type=int, nargs="+", default=HUBS)
    parser.add_argument("--scratch", type=Path, help="where log and corpus lie meanwhile")
    parser.add_argument("--build", type=Path, nargs=2, help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    if told.build:
        corpus, target = told.build
        build(corpus, target, told.hubs[0])
        return
    with tempfile.TemporaryDirectory(dir=told.scratch) as name:
        folder = Path(name)
        write_log(told.rows, DIRTY, SEED, folder / "log.csv")
        made = ingest_with_rlrec(folder / "log.csv", folder, MEMORY_LIMIT)
        print(f"{told.rows:,} rows; base and view of them are made: peak {made.peak_bytes / MEGABYTE:,.0f} MB")
        print(f"{'hub':>8}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}{'edges':>13}")
        for hub in told.hubs:
            target = folder / f"graphs{hub}"
            words = ["--build", str(folder / WAREHOUSE), str(target), "--hubs", str(hub)]
            run = python(["benchmarks.graphs", *words])
            shown = hub or "none"
            peak = run.peak_bytes / MEGABYTE
            print(
                f"{shown:>8}{run.seconds:>9.1f}{run.cpu_seconds:>8.1f}{peak:>9,.0f}{rows_in(target):>13,}", flush=True
            )


def rows_in(folder: Path) -> int:
    """How many edges were written."""
    import pyarrow.parquet as pq

    return pq.read_metadata(folder / "edges.parquet").num_rows


if __name__ == "__main__":
    main()
