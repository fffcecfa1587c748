"""Do batches stream from Parquet as fast as training eats them? `python -m benchmarks.reading [--rows 10_000_000]`.

A step of BPR with 64 numbers a user and item, sparse gradients and 4,096 pairs is about the least that anybody trains
with, so it eats the most. It first runs on one core and on batches that lie ready in memory: two training cores consume
at most twice of that. Then every reader runs alone, and with training behind it; each in a process of its own. `busy`
is the trained rows a second as a share of those with ready batches.

Readers give shuffled (user, item) batches of one epoch: rlrec's own; PyArrow's datasets and Polars' batches with a
buffer of a million rows shuffled at a time; and everything in memory, indexed by one permutation. `scan` decodes both
columns and does nothing else: the limit.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, repeat
from multiprocessing import Pool
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.ingest import python
from benchmarks.logs import ITEM_EXPONENT, THREADS, USER_EXPONENT, Shape, draw, zipf
from benchmarks.pipeline import MEGABYTE

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Batch = tuple[Tensor, Tensor]

ROWS, REPEATS = 10_000_000, 3
USERS, ITEMS = 500_000, 100_000
FILES = 8
BATCH, WIDTH, LEARNING_RATE = 4_096, 64, 0.05
BUFFER = 1 << 20  # rows
READY_BATCHES, TRAINED_BATCHES = 64, 600
TRAINING_CORES = 2
SEED = 1
COLUMNS = ("user", "item")
READY = "ready"


def write_events(rows: int, folder: Path) -> None:
    """EVENTS of so many rows: a file for each bucket of users, sorted by user and time, in DuckDB's row groups."""
    import duckdb

    shape = Shape(rows, SEED)
    user = zipf(draw(shape, "i", 0), USERS, USER_EXPONENT, 1)
    item = zipf(draw(shape, "i", 1), ITEMS, ITEM_EXPONENT, 1)
    folder.mkdir(parents=True)
    for bucket in range(FILES):
        events = f"""
            select
                i as event, {user}::int as user, i // 8 as session, {item}::int as item, 'view' as behaviour,
                1::double as value, make_timestamptz(i * 1000000) as at
            from range({bucket}, {rows}, {FILES}) as numbers (i) order by user, i"""
        with duckdb.connect(config={"threads": THREADS}) as connection:
            file = folder / f"{bucket}.parquet"
            connection.execute(f"copy ({events}) to $file (format parquet, compression zstd)", {"file": str(file)})


def scanned(folder: Path) -> "Iterator[Batch]":
    """PyArrow decodes; nothing is shuffled."""
    import pyarrow.dataset as ds

    for batch in ds.dataset(folder, format="parquet").to_batches(columns=list(COLUMNS), batch_size=BATCH):
        yield tensors(batch["user"].to_numpy(), batch["item"].to_numpy())


def through_arrow(folder: Path) -> "Iterator[Batch]":
    """PyArrow's dataset, a buffer shuffled at a time."""
    import pyarrow.dataset as ds

    batches = ds.dataset(folder, format="parquet").to_batches(columns=list(COLUMNS))
    return buffered(np.stack([batch[name].to_numpy() for name in COLUMNS]) for batch in batches if len(batch))


def through_polars(folder: Path) -> "Iterator[Batch]":
    """Polars' streaming engine, a buffer shuffled at a time."""
    import polars as pl

    frames = pl.scan_parquet(folder).select(COLUMNS).collect_batches(chunk_size=BUFFER // FILES, maintain_order=False)
    return buffered(np.stack([frame[name].to_numpy() for name in COLUMNS]) for frame in frames)


def in_memory(folder: Path) -> "Iterator[Batch]":
    """Everything read at once, then one permutation."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder, columns=list(COLUMNS))
    return sliced(np.stack([table[name].to_numpy() for name in COLUMNS]), np.random.default_rng(SEED))


def through_rlrec(folder: Path) -> "Iterator[Batch]":
    """What training reads with."""
    from rlrec.streaming import Stream

    for batch in Stream.over(folder, COLUMNS, size=BATCH, seed=SEED).batches(0):
        yield batch["user"], batch["item"]


READERS: "Mapping[str, Callable[[Path], Iterator[Batch]]]" = {
    "scan": scanned,
    "rlrec": through_rlrec,
    "arrow": through_arrow,
    "polars": through_polars,
    "memory": in_memory,
}


def buffered(parts: Iterable[np.ndarray]) -> "Iterator[Batch]":
    """Shuffle about `BUFFER` rows at a time."""
    generator = np.random.default_rng(SEED)
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        if sum(rows.shape[1] for rows in held) >= BUFFER:
            yield from sliced(np.concatenate(held, axis=1), generator)
            held.clear()
    if held:
        yield from sliced(np.concatenate(held, axis=1), generator)


def sliced(rows: np.ndarray, generator: np.random.Generator) -> "Iterator[Batch]":
    """All rows, permuted, in batches."""
    order = generator.permutation(rows.shape[1])
    for start in range(0, len(order), BATCH):
        yield tensors(*rows[:, order[start : start + BATCH]])


def tensors(user: np.ndarray, item: np.ndarray) -> "Batch":
    """Arrays as tensors, without a copy where they may be written to."""
    import torch

    return torch.from_numpy(np.require(user, requirements="W")), torch.from_numpy(np.require(item, requirements="W"))


def rate(batches: "Iterable[Batch]", use: "Callable[[Batch], object]" = len) -> float:
    """Rows a second of an iterator of batches, each handed to `use`."""
    rows = 0
    start = time.perf_counter()
    for batch in batches:
        use(batch)
        rows += len(batch[0])
    return rows / (time.perf_counter() - start)


def bpr_step() -> "Callable[[Batch], torch.Tensor]":
    """Matrix factorisation on one core: a step of stochastic gradient descent on -mean ln σ(u·i - u·j)."""
    import torch
    from torch.nn.functional import logsigmoid

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    users = torch.nn.Embedding(USERS + 1, WIDTH, sparse=True)
    items = torch.nn.Embedding(ITEMS + 1, WIDTH, sparse=True)
    optimizer = torch.optim.SGD([*users.parameters(), *items.parameters()], lr=LEARNING_RATE)

    def step(batch: "Batch") -> torch.Tensor:
        user, item = batch
        other = torch.randint(1, ITEMS + 1, item.shape)
        who = users(user)
        loss = -logsigmoid((who * items(item)).sum(-1) - (who * items(other)).sum(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def measure(name: str, folder: Path) -> dict[str, float]:
    """Rows a second of one reader alone and with training, or of training on ready batches."""
    step = bpr_step()
    ready = list(islice(through_arrow(folder), READY_BATCHES))
    rate(ready, step)  # touches the tables' memory
    if name == READY:
        batches = chain.from_iterable(repeat(ready, -(-TRAINED_BATCHES // READY_BATCHES)))
        return {"trained_per_second": rate(batches, step)}
    reader = READERS[name]
    return {
        "read_per_second": rate(reader(folder)),
        "trained_per_second": rate(islice(reader(folder), TRAINED_BATCHES), step),
    }


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """As text, a line for each reader."""
    ready = results[READY]["trained_per_second"]
    lines = [f"{'reader':<8}{'rows/s':>13}{'x two cores':>13}{'trained/s':>12}{'busy':>6}{'peak MB':>9}"]
    for name, row in results.items():
        read = row.get("read_per_second")
        alone = f"{'-':>13}{'-':>13}" if read is None else f"{read:>13,.0f}{read / (TRAINING_CORES * ready):>13.1f}"
        trained = row["trained_per_second"]
        lines.append(f"{name:<8}{alone}{trained:>12,.0f}{trained / ready:>6.0%}{row['peak_bytes'] / MEGABYTE:>9,.0f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, show, and write `bench/reading.json` in the home folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--events", type=Path, help="a folder of EVENTS in place of a generated one")
    parser.add_argument("--only", default=",".join(READERS), help="some of the readers, separated by commas")
    parser.add_argument("--child", nargs=2, metavar=("READER", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        reader, answer = options.child
        Path(answer).write_text(json.dumps(measure(reader, options.events)), encoding="utf-8")
        return
    names = options.only.split(",")
    if unknown := set(names) - set(READERS):
        parser.error(f"there is no reader {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")

    place = Path(os.environ.get("RLREC_HOME", ".rlrec")).absolute() / "bench"
    scratch = place / "reading"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    events = options.events or scratch / "events"
    if not options.events:
        with Pool(1) as apart:  # this process stays small
            apart.apply(write_events, (options.rows, events))
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in (READY, *names)}
    answer = scratch / "answer.json"
    for _ in range(options.repeats):
        for name, found in rounds.items():
            run = python(["benchmarks.reading", "--events", str(events.absolute()), "--child", name, str(answer)])
            found.append({**json.loads(answer.read_text(encoding="utf-8")), "peak_bytes": run.peak_bytes})
    results = {name: {key: median(part[key] for part in found) for key in found[0]} for name, found in rounds.items()}
    print(f"batches of {BATCH:,}, BPR of width {WIDTH}, {os.cpu_count()} cores, medians of {options.repeats}")
    print(table(results))
    report = place / "reading.json"
    report.write_text(json.dumps({"cores": os.cpu_count(), "readers": results}, indent=1), encoding="utf-8")
    shutil.rmtree(scratch)
    print(f"written to {report}")


if __name__ == "__main__":
    main()
