"""Off-policy evaluation of 10⁶ logged rows in memory: CPU seconds and memory, `python -m benchmarks.ope`.

Targets (one core): points of IPS, SNIPS and DR, closed-form intervals, effective sample size and a 40-point clip curve
in 0.5 s and 0.3 GB above import; a cluster bootstrap of all estimators with 1,000 replicates in 1 s. The limit beside
them is one pass of plain sums over the same arrays. Then one pass over 10⁷ rows of a Parquet file, in a process of its
own, in 3 s under 0.5 GB: `python -m benchmarks.ope PARQUET_ROWS`; its limit is DuckDB's bare sum over the same columns.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rlrec.ope.curve import curve
from rlrec.ope.diagnostics import diagnose
from rlrec.ope.estimators import clipped_ips, dm, dr, dros, ips, sndr, snips, switch_dr
from rlrec.ope.intervals import bootstrap, clustered
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats

ROWS, USERS, ACTIONS = 1_000_000, 100_000, 10
MEMORY_LIMIT = "256MB"
REPEATS = 3


def log(rows: int, users: int | None, seed: int = 0) -> Rounds:
    """Clicks of a softmax logger under a softmax target, with a reward model that is slightly wrong."""
    generator = np.random.default_rng(seed)
    logging, target = generator.dirichlet(np.ones(ACTIONS), size=2)
    truth = generator.uniform(0.01, 0.1, ACTIONS)
    action = generator.choice(ACTIONS, size=rows, p=logging)
    model = truth + generator.normal(0, 0.01, ACTIONS)
    return Rounds.of(
        (generator.random(rows) < truth[action]).astype(np.float64),
        logging[action],
        target[action],
        q_hat=model[action],
        q_hat_target=np.full(rows, target @ model),
        cluster=None if users is None else generator.integers(0, users, rows),
        reward_range=(0.0, 1.0),
    )


def cpu(work: Callable[[], object]) -> float:
    """Median CPU seconds."""
    spent: list[float] = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return float(np.median(spent))


def fresh(rounds: Rounds) -> Rounds:
    """The same columns without what an earlier measurement left cached."""
    columns = {name: getattr(rounds, name) for name in Rounds.__dataclass_fields__}
    return Rounds(**columns)


def closed_form(rounds: Rounds) -> None:
    """Points, intervals, effective sample size, curve."""
    rounds = fresh(rounds)
    for estimator in (ips, snips, dr):
        clustered(estimator(rounds), rounds, 0.95)
    diagnose(rounds)
    curve(rounds, "ips", "clip")


def resampled(rounds: Rounds) -> None:
    """1,000 replicates of eight estimators."""
    rounds = fresh(rounds)
    found = [estimator(rounds) for estimator in (ips, snips, dm, dr, sndr)]
    found += [estimator(rounds, 5.0) for estimator in (clipped_ips, switch_dr, dros)]
    bootstrap(found, rounds, 0.95, seed=0)


def peak() -> float:
    """Peak resident memory in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def write_log(rows: int, file: Path) -> None:
    """A log and its targets in one Parquet file, a million rows at a time."""
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, ROWS):
        part = log(min(ROWS, rows - start), USERS, seed=start)
        events = np.arange(start, start + len(part))
        columns = {"event": events, "request": events, "user": part.cluster, "position": np.ones(len(part), np.int16)}
        columns |= {n: getattr(part, n)[:, 0] for n in ("reward", "propensity", "target_probability", "q_hat")}
        table = pa.table(columns | {"q_hat_target": part.direct[:, 0]})
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def one_pass(rows: int) -> None:
    """Sums of a Parquet file, its proof of uniqueness, then every answer from the sums."""
    from rlrec.ope.evaluation import evaluate_stats
    from tasks.database import connect
    from tasks.onepass import optional_columns, stats_of_parquet

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        file = place / "log.parquet"
        if (child := os.fork()) == 0:  # writing must not count
            write_log(rows, file)
            os._exit(0)
        os.waitpid(child, 0)
        imported = peak()
        with connect(place, MEMORY_LIMIT) as connection:
            connection.execute("set threads = 1")
            optional = optional_columns(place)
            stats = stats_of_parquet(file, "target", optional, connection)
            seconds = cpu(lambda: stats_of_parquet(file, "target", optional, connection))
            answers = cpu(lambda: evaluate_stats(stats, reward_range=(0.0, 1.0)))
            sums = "sum(target_probability / propensity * reward), sum(q_hat), sum(q_hat_target)"
            bare = f"select {sums} from read_parquet(?)"
            limit = cpu(lambda: connection.execute(bare, [str(file)]).fetchall())
        print(f"{rows:,} rows of one Parquet file, {file.stat().st_size / 1e6:.0f} MB")
        print(f"  sums and proof of uniqueness            {seconds:6.2f} s CPU")
        print(f"  intervals, bootstrap, curve from sums   {answers:6.2f} s CPU")
        print(f"  limit: three bare sums                  {limit:6.2f} s CPU")
        print(f"  peak {peak():.2f} GB, {peak() - imported:.2f} GB above import")


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        one_pass(int(sys.argv[1]))
        return
    imported = peak()
    for users in (None, USERS):
        rounds = log(ROWS, users)
        columns = peak()
        print(f"{ROWS:,} rows, {users or ROWS:,} users; columns {columns - imported:.2f} GB above import")
        print(f"  points, intervals, ESS, 40-point curve  {cpu(lambda r=rounds: closed_form(r)):6.2f} s CPU")
        print(f"  bootstrap, 8 estimators                 {cpu(lambda r=rounds: resampled(r)):6.2f} s CPU")
        print(f"  sums only (Stats)                       {cpu(lambda r=rounds: Stats.of(fresh(r))):6.2f} s CPU")
        limit = cpu(lambda r=rounds: [float((r.weights[:, 0] * r.reward[:, 0]).sum()) for _ in range(10)])
        print(f"  limit: ten plain sums                   {limit:6.2f} s CPU")
        print(f"  peak {peak() - imported:.2f} GB above import")


if __name__ == "__main__":
    main()
