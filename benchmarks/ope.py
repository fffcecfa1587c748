"""Off-policy evaluation of 10⁶ logged rows in memory: CPU seconds and memory, `python -m benchmarks.ope`.

Targets (one core): points of IPS, SNIPS and DR, closed-form intervals, effective sample size and a 40-point clip curve
in 0.5 s and 0.3 GB above import; a cluster bootstrap of all estimators with 1,000 replicates in 1 s. The limit beside
them is one pass of plain sums over the same arrays.
"""

import os
import resource
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from rlrec.ope.curve import curve
from rlrec.ope.diagnostics import diagnose
from rlrec.ope.estimators import clipped_ips, dm, dr, dros, ips, sndr, snips, switch_dr
from rlrec.ope.intervals import bootstrap, clustered
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats

ROWS, USERS, ACTIONS = 1_000_000, 100_000, 10
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


def main() -> None:
    """Print the table."""
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
