"""Off-policy evaluation beside its targets, its limits and a peer: `python -m benchmarks.ope`, or one line of it:
`python -m benchmarks.ope NAME NUMBER`, each a process of its own, so that peaks of memory are its own.

- memory USERS: 10⁶ rows in memory, one thread. Points and closed-form intervals of eight estimators, effective sample
  size, a 40-point clip curve: 0.5 s CPU and 0.3 GB above import; their bootstrap of 1,000 replicates 1 s. Limit: ten
  sums.
- table ROWS: one Parquet file that holds log and targets, one thread: 10⁷ rows in 3 s under 0.5 GB, flat in ROWS.
  Limit: ten bare sums in DuckDB.
- join ROWS: log and targets in two files, joined on disk, every event matched exactly once.
- models ROWS: estimators that fit models, three folds.
- startup ROWS: import in a fresh process, under 1 s; the command on a small log.
- peer ROWS: the same log through `obp`, which asks for Python below 3.11 and old libraries, yet runs without them:

      python3.11 -m venv OBP && OBP/bin/pip install poetry-core numpy scipy scikit-learn pandas matplotlib pyyaml tqdm
      OBP/bin/pip install seaborn torch==2.13.0 --extra-index-url https://download.pytorch.org/whl/cpu
      OBP/bin/pip install --no-deps --ignore-requires-python obp==0.5.7
      RLREC_OBP_PYTHON=OBP/bin/python python -m benchmarks.ope peer 1000000
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from rlrec.ope.curve import curve
from rlrec.ope.diagnostics import diagnose
from rlrec.ope.embeddings import by_classifier
from rlrec.ope.estimators import Estimate, clipped_ips, dm, dr, dros, ips, sndr, snips, switch_dr
from rlrec.ope.intervals import bootstrap, clustered
from rlrec.ope.models import (
    Choices,
    balanced_ips,
    classifier,
    cross_fitted,
    folds_of_users,
    least_squares,
    linear,
    more_robust,
)
from rlrec.ope.rounds import Rounds
from rlrec.ope.trajectories import Trajectories, fitted_q

Array = np.ndarray
ROOT = Path(__file__).parents[1]
ROWS, USERS, ACTIONS = 1_000_000, 100_000, 10
MEMORY_LIMIT = "256MB"
REPEATS = 3
LEVEL = 0.95
PARAMETER = 5.0  # of clip, switch and shrinkage
FEATURES, FOLDS, RIDGE = 8, 3, 1e-6
STEPS, DISCOUNT = 5, 0.9
REPLICATES = 1_000
LINES = (
    ("memory", ROWS),
    ("memory", USERS),
    ("table", ROWS),
    ("table", 10 * ROWS),
    ("join", 10 * ROWS),
    ("models", 100_000),
    ("startup", 20_000),
    ("peer", ROWS),
)
TEN_SUMS = """
select
    sum(w), sum(w * w), sum(w * r), sum(w * w * r), sum(w * w * r * r), sum(direct), sum(direct + w * (r - q)),
    sum((direct + w * (r - q)) ** 2), sum(w * (r - q)), sum(w * w * (r - q) ** 2)
from (
    select target_probability / propensity as w, reward as r, q_hat as q, q_hat_target as direct from read_parquet(?)
)
"""


def log(rows: int, users: int | None, seed: int = 0) -> tuple[Rounds, Int64[Array, "..."], Float64[Array, "2 A"]]:
    """Clicks under two fixed policies, with a reward model that is slightly wrong.

    Also what was shown, and the target's probability and the model's reward of every action.
    """
    generator = np.random.default_rng(seed)
    logging, target = generator.dirichlet(np.ones(ACTIONS), size=2)
    truth = generator.uniform(0.01, 0.1, ACTIONS)
    action = generator.choice(ACTIONS, size=rows, p=logging)
    model = truth + generator.normal(0, 0.01, ACTIONS)
    rounds = Rounds.of(
        (generator.random(rows) < truth[action]).astype(np.float64),
        logging[action],
        target[action],
        q_hat=model[action],
        q_hat_target=np.full(rows, target @ model),
        cluster=None if users is None else generator.integers(0, users, rows),
        reward_range=(0.0, 1.0),
    )
    return rounds, action, np.stack((target, model))


def clocked(work: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Median CPU and wall seconds."""
    spent: list[tuple[float, float]] = []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        work()
        spent.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    cpu, wall = np.median(spent, axis=0)
    return float(cpu), float(wall)


def told(name: str, work: Callable[[], object], repeats: int = REPEATS) -> None:
    """Measure and print one line."""
    cpu, wall = clocked(work, repeats)
    print(f"  {name:42s} {cpu:7.2f} s CPU {wall:7.2f} s", flush=True)


def fresh(rounds: Rounds) -> Rounds:
    """The same columns without what an earlier measurement left cached."""
    columns = {name: getattr(rounds, name) for name in Rounds.__dataclass_fields__}
    return Rounds(**columns)


def estimates(rounds: Rounds) -> list[Estimate]:
    """All: eight estimators."""
    plain = [estimator(rounds) for estimator in (ips, snips, dm, dr, sndr)]
    return plain + [estimator(rounds, PARAMETER) for estimator in (clipped_ips, switch_dr, dros)]


def closed_form(rounds: Rounds) -> None:
    """Points, intervals, effective sample size, curve."""
    rounds = fresh(rounds)
    for one in estimates(rounds):
        clustered(one, rounds, LEVEL)
    diagnose(rounds)
    curve(rounds, "ips", "clip")


def resampled(rounds: Rounds) -> None:
    """Percentile intervals of all."""
    rounds = fresh(rounds)
    bootstrap(estimates(rounds), rounds, LEVEL, seed=0, replicates=REPLICATES)


def peak() -> float:
    """Peak resident memory in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def memory(users: int) -> None:
    """All of it from arrays."""
    imported = peak()
    rounds, _, _ = log(ROWS, None if users == ROWS else users)
    print(f"{ROWS:,} rows in memory, {users:,} users; columns {peak() - imported:.2f} GB above import")
    told("points, intervals, ESS, 40-point curve", lambda: closed_form(rounds))
    told("bootstrap, 1,000 replicates", lambda: resampled(rounds))
    weight, reward = rounds.weights[:, 0], rounds.reward[:, 0]
    told("limit: ten plain sums", lambda: [float((weight * reward).sum()) for _ in range(10)])
    print(f"  peak {peak() - imported:.2f} GB above import")


def write_log(rows: int, logs: Path, targets: Path | None = None) -> None:
    """A log and its targets in one Parquet file, or in two; a million rows at a time."""
    writers: dict[Path, pq.ParquetWriter] = {}
    for start in range(0, rows, ROWS):
        part, _, _ = log(min(ROWS, rows - start), USERS, seed=start)
        event = np.arange(start, start + len(part))
        logged = {"event": event, "request": event, "user": part.cluster, "position": np.ones(len(part), np.int16)}
        logged |= {name: getattr(part, name)[:, 0] for name in ("reward", "propensity")}
        wanted = {name: getattr(part, name)[:, 0] for name in ("target_probability", "q_hat", "q_hat_target")}
        files = {logs: logged | wanted} if targets is None else {logs: logged, targets: {"event": event, **wanted}}
        for file, columns in files.items():
            table = pa.table(columns)
            if file not in writers:
                writers[file] = pq.ParquetWriter(file, table.schema)
            writers[file].write_table(table)
    for writer in writers.values():
        writer.close()


def written(rows: int, *files: Path) -> None:
    """`write_log` by another process: writing must not count."""
    writing = get_context("spawn").Process(target=write_log, args=(rows, *files))
    writing.start()
    writing.join()


def table(rows: int) -> None:
    """Sums of a Parquet file, its proof of uniqueness, then every answer from the sums."""
    from rlrec.ope.evaluation import evaluate_stats
    from tasks.database import connect
    from tasks.onepass import optional_columns, stats_of_parquet

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        file = place / "log.parquet"
        written(rows, file)
        imported = peak()
        with connect(place, MEMORY_LIMIT) as connection:
            connection.execute("set threads = 1")
            optional = optional_columns(place)
            stats = stats_of_parquet(file, "target", optional, connection)
            print(f"{rows:,} rows of one Parquet file, {file.stat().st_size / 1e6:.0f} MB")
            told("sums and proof of uniqueness", lambda: stats_of_parquet(file, "target", optional, connection))
            told("intervals, bootstrap, curve from sums", lambda: evaluate_stats(stats, reward_range=(0.0, 1.0)))
            print(f"  peak {peak():.2f} GB, {peak() - imported:.2f} GB above import")
            told("limit: ten bare sums", lambda: connection.execute(TEN_SUMS, [str(file)]).fetchall())


def join(rows: int) -> None:
    """Sums of a log and its targets apart."""
    from tasks.onepass import stats_by_policy

    with tempfile.TemporaryDirectory() as folder:
        logs, targets = Path(folder) / "logs.parquet", Path(folder) / "targets.parquet"
        written(rows, logs, targets)
        imported = peak()
        print(f"{rows:,} rows of two Parquet files")
        told("join, its checks, sums", lambda: list(stats_by_policy(logs, targets, MEMORY_LIMIT)), repeats=1)
        print(f"  peak {peak():.2f} GB, {peak() - imported:.2f} GB above import")


def models(rows: int) -> None:
    """Estimators that fit: rewards, weights, both, or a value function."""
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(0)
    pairs = generator.normal(size=(rows, ACTIONS, FEATURES))
    logging, target = (np.exp(pairs @ generator.normal(size=FEATURES) / FEATURES) for _ in range(2))
    logging, target = (policy / policy.sum(axis=1, keepdims=True) for policy in (logging, target))
    action = (generator.random(rows)[:, None] > logging.cumsum(axis=1)[:, :-1]).sum(axis=1)
    at = np.arange(rows), action
    chance = 0.1 / (1 + np.exp(-pairs[at][:, 0]))
    rounds = Rounds.of((generator.random(rows) < chance).astype(np.float64), logging[at], target[at])
    choices, fold, model = Choices(pairs, target, action), folds_of_users(rounds, FOLDS), LogisticRegression()
    print(f"{rows:,} rows, {ACTIONS} actions, {FEATURES} features of each pair, {FOLDS} folds")
    for name, fit in (
        ("least squares", least_squares()),
        ("logistic regression", classifier(model)),
        ("more robust (MRDR)", more_robust()),
    ):
        told(f"DR, {name}", lambda fit=fit: dr(cross_fitted(rounds, choices, fold, fit)), repeats=1)
    told("balanced IPS", lambda: balanced_ips(rounds, choices, fold, model), repeats=1)
    shown = choices.shown
    told("learned MIPS", lambda: ips(by_classifier(rounds, target, logging, shown, action, fold, model)), repeats=1)
    episodes = rows // STEPS

    def walked(rows: Array) -> Array:
        return rows[: episodes * STEPS].reshape(episodes, STEPS, *rows.shape[1:])

    columns = (rounds.reward[:, 0], rounds.propensity[:, 0], rounds.target_probability[:, 0], rounds.mask[:, 0])
    reward, propensity, probability, mask = map(walked, columns)
    trajectories = Trajectories(reward, propensity, probability, mask, discount=DISCOUNT)
    told(
        f"fitted Q, {STEPS} steps, {FOLDS} folds",
        lambda: fitted_q(
            trajectories,
            walked(pairs),
            walked(target),
            walked(action),
            lambda features, outcome: linear(features, outcome, RIDGE),
            np.arange(episodes) % FOLDS,
        ),
        repeats=1,
    )


def startup(rows: int) -> None:
    """The import and the command, each from nothing."""
    print("fresh processes")
    with tempfile.TemporaryDirectory() as folder:
        logs, report = Path(folder) / "logs.parquet", Path(folder) / "report"
        written(rows, logs)
        asked = ["ope", "--logs", str(logs), "--reward-min", "0", "--reward-max", "1", "--out", str(report)]
        for name, command in (
            ("import rlrec.ope", ["-c", "import rlrec.ope"]),
            (f"rlrec ope, {rows:,} rows", ["-c", "from flows.cli import main; main()", *asked]),
        ):
            run = [sys.executable, *command]
            before = os.times()
            _, wall = clocked(lambda run=run: subprocess.run(run, cwd=ROOT, check=True, stdout=subprocess.DEVNULL))
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"  {name:42s} {used / REPEATS:7.2f} s CPU {wall:7.2f} s", flush=True)


def peer(rows: int) -> None:
    """`obp` and ours: a point, then a bootstrap interval, estimator by estimator, on the same log."""
    from benchmarks.ope_peer import NAMES

    python = os.environ.get("RLREC_OBP_PYTHON")
    if python is None:
        print("obp: not importable here; this file's first lines say how to make it so (RLREC_OBP_PYTHON)")
        return
    rounds, action, tables = log(rows, None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log.npz"
        np.savez(file, reward=rounds.reward[:, 0], propensity=rounds.propensity[:, 0], action=action, tables=tables)
        command = [python, "-m", "benchmarks.ope_peer", str(file), str(REPLICATES)]
        found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    print(f"{rows:,} rows, each its own user: CPU seconds of a point, and of {REPLICATES:,} replicates")
    ours = {"ips": ips, "snips": snips, "dm": dm, "dr": dr}
    for name in NAMES:
        value, point, interval = found[name]
        mine = ours[name](rounds)
        own = clocked(lambda name=name: ours[name](fresh(rounds)))[0]
        again = clocked(lambda mine=mine: bootstrap([mine], fresh(rounds), LEVEL, seed=0, replicates=REPLICATES))[0]
        gap = abs(value / mine.value - 1)
        print(f"  {name:6s} obp {point:6.3f} {interval:8.2f}   rlrec {own:6.3f} {again:8.2f}   values differ {gap:.0e}")
    print(f"  obp: import {found['import']:.1f} s, peak {found['peak']:.2f} GB; rlrec: peak {peak():.2f} GB")


def main(arguments: Sequence[str]) -> None:
    """Print one line's figures, or those of all lines."""
    if arguments:
        named = {"memory": memory, "table": table, "join": join, "models": models, "startup": startup, "peer": peer}
        named[arguments[0]](int(arguments[1]))
        return
    for name, number in LINES:
        subprocess.run([sys.executable, "-m", "benchmarks.ope", name, str(number)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
