"""One policy of Open Bandit judged from the other's log: `RLREC_TEST_DATA=DIR python -m benchmarks.open_bandit`.

The small logs (10,000 rows each): the uniform policy and Bernoulli Thompson sampling (BTS) served at the same time, so
that the mean click of the target's own log stands beside each estimate. The uniform policy is known. BTS is taken as
the shares of items at each position, by default in its own log; `--table FILE` gives the campaign `all` the shares of
100,000 simulated draws instead, which is what published figures use.

Rows are clustered by what the log tells of a user (four features): it has no user ids. q̂ is a logistic regression on
position, the item's features and the affinity of this user, cross-fitted across those clusters.
"""

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float64
from sklearn.linear_model import LogisticRegression

from rlrec.ope import Evaluation, Rounds, evaluate
from rlrec.ope.models import Choices, classifier, cross_fitted, folds_of_users

Array = np.ndarray
CAMPAIGNS = ("all", "men", "women")
UNIFORM, BTS = "random", "bts"
ESTIMATORS = ("ips", "snips", "dm", "dr", "sndr")
USER = [f"user_feature_{number}" for number in range(4)]
FOLDS = 3
INVERSE_PENALTY = 100.0  # C of the reference runs
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Log:
    """A log with positions and users numbered from 0; features `[I, F]` of the campaign's items."""

    frame: pl.DataFrame
    items: Float64[Array, "I F"]

    @property
    def item(self) -> Array:
        """What was shown."""
        return self.frame["item_id"].to_numpy()

    @property
    def position(self) -> Array:
        """Where."""
        return self.frame["position"].rank("dense").to_numpy().astype(np.int64) - 1

    @property
    def clicked(self) -> Array:
        """What came back."""
        return self.frame["click"].to_numpy().astype(np.float64)

    def shares(self) -> Float64[Array, "I K"]:
        """How often each item was shown at each position, of all that was shown there."""
        counts = np.zeros((len(self.items), int(self.position.max()) + 1))
        np.add.at(counts, (self.item, self.position), 1.0)
        return counts / counts.sum(axis=0)


def read(folder: Path, policy: str, campaign: str) -> Log:
    """One log as published."""
    place = folder / policy / campaign
    context = pl.read_csv(place / "item_context.csv").sort("item_id")
    kinds = context.select(pl.col("^item_feature_[1-3]$")).to_dummies()
    items = np.column_stack((context["item_feature_0"].to_numpy(), kinds.to_numpy()))
    return Log(pl.read_csv(place / f"{campaign}.csv.gz"), items.astype(np.float64))


def rounds_of(log: Log, shares: Float64[Array, "I K"]) -> Rounds:
    """The log under a target policy that knows positions alone, with a cross-fitted reward model."""
    target = shares.T[log.position]
    user = log.frame.select(pl.struct(USER).rank("dense")).to_series().to_numpy()
    rows = np.arange(len(log.item))
    rounds = Rounds.of(
        log.clicked,
        log.frame["propensity_score"].to_numpy(),
        target[rows, log.item],
        cluster=user,
        reward_range=(0.0, 1.0),
    )
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1_000)
    choices = Choices(pairs(log), target, log.item)
    return cross_fitted(rounds, choices, folds_of_users(rounds, FOLDS), classifier(model))


def pairs(log: Log) -> Float64[Array, "N A D"]:
    """Features of every row with every item: position, the item's, the affinity that the log tells."""
    position = np.eye(int(log.position.max()) + 1)[log.position]
    affinity = log.frame.select(f"user-item_affinity_{item}" for item in range(len(log.items))).to_numpy()
    size = len(log.item), len(log.items)
    return np.concatenate(
        (
            np.broadcast_to(position[:, None], (*size, position.shape[1])),
            np.broadcast_to(log.items, (*size, log.items.shape[1])),
            affinity[..., None],
        ),
        axis=2,
    )


def measured(folder: Path, campaign: str, table: Float64[Array, "I K"] | None) -> Iterator[tuple[str, Evaluation, Log]]:
    """Both directions: a title, what the log says, and the target's own log."""
    logs = {policy: read(folder, policy, campaign) for policy in (UNIFORM, BTS)}
    bts = logs[BTS].shares() if table is None else table
    for logger, target, shares in ((UNIFORM, BTS, bts), (BTS, UNIFORM, np.full_like(bts, 1 / len(bts)))):
        found = evaluate(rounds_of(logs[logger], shares), level=LEVEL, estimators=ESTIMATORS, target_policy=target)
        yield f"{campaign} {logger} -> {target}", found, logs[target]


def published(file: Path) -> Float64[Array, "I K"]:
    """The table of simulated draws in a file of reference values."""
    case = json.loads(file.read_text())["extra_obd_all_random_to_bts"]
    counts = np.array(case["pi_e_counts"], dtype=np.float64)
    return counts / counts.sum(axis=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_bandit", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CAMPAIGNS, default=CAMPAIGNS)
    parser.add_argument("--table", type=Path, help="JSON of reference values with the simulated BTS of campaign all")
    chosen = parser.parse_args(arguments)
    folder = Path(os.environ["RLREC_TEST_DATA"]) / "open-bandit"
    head = ("log -> target", "truth", *ESTIMATORS, "IPS / log", "mean w, max w, ESS", "verdict")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for campaign in chosen.only:
        table = published(chosen.table) if chosen.table and campaign == "all" else None
        for title, found, own in measured(folder, campaign, table):
            intervals = {one.estimator: one for one in found.records if one.method == "bootstrap_percentile"}
            cells = [
                f"{one.value:.5f} [{one.low:.5f}, {one.high:.5f}]" for one in map(intervals.__getitem__, ESTIMATORS)
            ]
            seen, clicked = found.diagnostics, own.clicked
            weights = f"{seen.mean_weight:.3f}, {seen.max_weight:.1f}, {seen.effective_sample_size:.0f}"
            truth = f"{clicked.mean():.4f} ± {clicked.std() / np.sqrt(len(clicked)):.4f}"
            relative = f"{found.estimates['ips'].value / found.logging_value:.6f}"
            failed = ", ".join(one.rule for one in found.verdict.failures if one.grade == found.verdict.grade)
            verdict = found.verdict.grade + (f": {failed}" if failed else "")
            print(f"| {' | '.join((title, truth, *cells, relative, weights, verdict))} |", flush=True)


if __name__ == "__main__":
    main()
