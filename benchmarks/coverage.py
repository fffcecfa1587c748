"""How often do 95 % intervals hold the truth? `python -m benchmarks.coverage`.

Logs of one contextual bandit of known value, users clustered (`benchmarks.launches`, a candidate close to the logger),
drawn again and again. Asymptotic methods should cover 93 to 97 %, finite-sample and anytime methods at least 95 %.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.launches import LEVEL, share, world
from rlrec.ope import evaluate

SIZES = 200, 2_000
REPLICATES = 300  # of the bootstrap, within each replication
METHODS = "cressie_read", "truncated", "betting", "hoeffding", "empirical_bernstein", "confidence_sequence"


def covered(rows: int, replications: int, seed: int) -> dict[tuple[str, str, str], list[tuple[bool, float]]]:
    """By estimator, method and validity: whether each interval held the truth, and how wide it was."""
    made = world("close", np.random.default_rng(seed))
    truth = made.value(made.candidate)
    largest = float((made.candidate / made.recorded).max())
    found: dict[tuple[str, str, str], list[tuple[bool, float]]] = defaultdict(list)
    for number in range(replications):
        rounds = made.log(rows, np.random.default_rng([seed, rows, number]), max_weight=largest)
        seen = evaluate(
            rounds, level=LEVEL, seed=number, replicates=REPLICATES, methods=METHODS, planned_users=rounds.clusters
        )
        for one in seen.records:
            if np.isfinite(one.value):
                held = one.low <= truth <= one.high
                found[one.estimator, one.method, one.validity].append((held, one.high - one.low))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--replications", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    print("| rows | estimator | method | validity | covered | mean width |\n|---|---|---|---|---|---|")
    for rows in SIZES:
        for names, held in covered(rows, chosen.replications, chosen.seed).items():
            hits, width = sum(hit for hit, _ in held), np.mean([wide for _, wide in held])
            print(f"| {rows} | {' | '.join(names)} | {share(hits, len(held))} | {width:.4f} |", flush=True)


if __name__ == "__main__":
    main()
