"""How often do 95 % intervals hold the truth? `python -m benchmarks.coverage`.

Logs of one contextual bandit of known value, users clustered (`benchmarks.launches`, a candidate close to the logger),
drawn again and again. Asymptotic methods should cover 93 to 97 %, finite-sample and anytime methods at least 95 %.
DR and SNDR have a reward model that is right, and one that takes each item for another: both must cover.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.launches import LEVEL, share, world
from rlrec.ope import evaluate
from rlrec.ope.estimators import dr, sndr
from rlrec.ope.intervals import Interval, bootstrap, clustered, confidence_sequence, empirical_bernstein, hoeffding
from rlrec.ope.rounds import Rounds

SIZES = 200, 2_000
REPLICATES = 300  # of the bootstrap, within each replication
ESTIMATORS = "ips", "snips", "beta_ips"
METHODS = "cressie_read", "truncated", "betting", "hoeffding", "empirical_bernstein", "confidence_sequence"


def covered(rows: int, replications: int, seed: int) -> dict[tuple[str, str, str], list[tuple[bool, float]]]:
    """By estimator, method and validity: whether each interval held the truth, and how wide it was."""
    made = world("close", np.random.default_rng(seed))
    truth = made.value(made.candidate)
    largest = float((made.candidate / made.recorded).max())
    models = {"right": made.mean, "wrong": np.roll(made.mean, 1, axis=1)}
    found: dict[tuple[str, str, str], list[tuple[bool, float]]] = defaultdict(list)
    for number in range(replications):

        def drawn(model: np.ndarray | None = None, number: int = number) -> Rounds:
            return made.log(rows, np.random.default_rng([seed, rows, number]), max_weight=largest, model=model)

        rounds = drawn()
        seen = evaluate(
            rounds,
            level=LEVEL,
            seed=number,
            replicates=REPLICATES,
            estimators=ESTIMATORS,
            methods=METHODS,
            planned_users=rounds.clusters,
        )
        for one in seen.records:
            if np.isfinite(one.value):
                hit = one.low <= truth <= one.high
                found[one.estimator, one.method, one.validity].append((hit, one.high - one.low))
        for name, model in models.items():
            for estimator, one in doubly_robust(drawn(model), number):
                hit = one.low <= truth <= one.high
                found[f"{estimator}, {name} model", one.method, one.validity].append((hit, one.high - one.low))
    return found


def doubly_robust(rounds: Rounds, seed: int) -> Iterator[tuple[str, Interval]]:
    """DR and SNDR with each interval that they have."""
    both = [dr(rounds), sndr(rounds)]
    for one, again in zip(both, bootstrap(both, rounds, LEVEL, seed=seed, replicates=REPLICATES), strict=True):
        yield one.estimator, clustered(one, rounds, LEVEL)
        yield one.estimator, again
        yield one.estimator, confidence_sequence(one, rounds, LEVEL, rounds.clusters)
    for bound in (hoeffding, empirical_bernstein):
        yield "dr", bound(both[0], rounds, LEVEL)


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
