"""A corpus beside its memory: `python -m benchmarks.views [--rows 10_000_000] [--scratch DIR]`.

A generated log (`benchmarks.logs`) becomes a warehouse's base; a process of its own makes a corpus of it, another one
with every filter and every split. Both peaks are to stay within the memory limit and 300 MB. `parts` are seconds.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ingest import MEMORY_LIMIT, PARTS, WAREHOUSE, clock, ingest_base, python, write_log
from benchmarks.logs import START
from benchmarks.pipeline import MEGABYTE

ROWS, DIRTY, SEED = 10_000_000, 0.001, 1
EVERYTHING: dict[str, list[dict[str, Any]]] = {
    "filters": [
        {"filter": "exact_duplicates"},
        {"filter": "behaviours", "keep": ["view", "click", "cart"]},
        {"filter": "date_range", "since": START},
        {"filter": "sessions_by_gap"},
        {"filter": "session_length"},
        {"filter": "k_core"},
    ],
    "splits": [
        {"protocol": name}
        for name in ("leave_one_out", "user_fraction", "global_time", "by_session", "cold_items", "cold_users")
    ],
}
SETTINGS = {"plain": {}, "everything": EVERYTHING}


def write(warehouse: Path, draft: Path, settings: dict[str, Any]) -> None:
    """A corpus of the warehouse, its parts timed; run by a process of its own."""
    from tasks import views
    from tasks.manifest import read_manifest

    parts: dict[str, float] = {}
    for name in ("make_events", "make_splits", "check", "describe"):
        clock(views.View, name, parts)
    manifest = read_manifest(warehouse)
    assert manifest
    views.write_view(
        warehouse, manifest, draft, views.ViewSettings.model_validate(settings), MEMORY_LIMIT, lambda _: {}
    )
    (draft / PARTS).write_text(json.dumps(parts), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the log and the base, then the corpora; show."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.views", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--scratch", type=Path, help="where log and corpora lie meanwhile")
    parser.add_argument("--write", type=Path, nargs=2, help=argparse.SUPPRESS)
    told = parser.parse_args(arguments)
    if told.write:
        warehouse, draft = told.write
        write(warehouse, draft, SETTINGS[told.only[0]])
        return
    with tempfile.TemporaryDirectory(dir=told.scratch) as name:
        folder = Path(name)
        write_log(told.rows, DIRTY, SEED, folder / "log.csv")
        base = ingest_base(folder / "log.csv", folder, MEMORY_LIMIT)
        print(f"{told.rows:,} rows; their base: {base.seconds:.1f} s, peak {base.peak_bytes / MEGABYTE:,.0f} MB")
        print(f"{'corpus':<12}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}{'events':>13}  parts")
        for chosen in told.only:
            draft = folder / chosen
            run = python(["benchmarks.views", "--write", str(folder / WAREHOUSE), str(draft), "--only", chosen])
            events = json.loads((draft / "corpus.json").read_text(encoding="utf-8"))["counts"]["events"]
            parts = json.loads((draft / PARTS).read_text(encoding="utf-8"))
            print(
                f"{chosen:<12}{run.seconds:>9.1f}{run.cpu_seconds:>8.1f}{run.peak_bytes / MEGABYTE:>9,.0f}{events:>13,}"
                f"  {', '.join(f'{part} {seconds:.1f}' for part, seconds in parts.items())}",
                flush=True,
            )


if __name__ == "__main__":
    main()
