"""Two policies that served at once, each judged from the other's log, beside what it earned in its own."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from jaxtyping import Float64
from rich.table import Table
from sklearn.linear_model import LogisticRegression

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.ope import Rounds
from rlrec.ope.models import Choices, classifier, cross_fitted, folds_of_users
from rlrec.policies.thompson import position_marginals
from rlrec.tables import LOGGED_SLATES, TARGETS, TRIPLES, check
from tasks import tracking as runs
from tasks.artifacts import Artifact, aside, home, store
from tasks.estimates import estimate_from_parquet
from tasks.presets import Exchange, Terms
from tasks.sources import Source
from tasks.sources.catalogue.impressions import BTS, PRIORS, UNIFORM

Beliefs = tuple[tuple[float, ...], tuple[float, ...]]
LOGS, TARGET, FACTS, TABLE = "logs.parquet", "targets.parquet", "facts.json", "exchange.parquet"
ESTIMATORS = ("ips", "snips", "dm", "dr", "sndr")
SHOWN = ("snips", "sndr")  # at the terminal
PER = 1_000  # clicks are rare: tables are in 1/1,000

log = logging.getLogger(__name__)


def read_beliefs(source: Source, campaign: str) -> Beliefs | None:
    """α and β of Thompson sampling for each item, published beside the logs; nothing where they are not.

    Raises:
        InputError: the file does not hold two numbers for each item of the campaign.
    """
    file = source.feeds[0].file.parents[2] / PRIORS
    if not file.exists():
        log.warning("no %s beside the logs: %s is taken as the shares of its own log", PRIORS, BTS)
        return None
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))[campaign]
        return tuple(map(float, told["alpha"])), tuple(map(float, told["beta"]))
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as fault:
        raise InputError(
            f"there are no beliefs about the campaign {campaign}", file=file, remedy="rlrec data fetch open-bandit"
        ) from fault


def targets(
    campaign: str,
    policy: str,
    logged: Artifact,
    own: Artifact,
    beliefs: Beliefs | None,
    judging: Terms,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """The log of one policy, TARGETS of the other with a cross-fitted reward model, and what the other earned itself.

    The uniform policy is known. Thompson sampling is what `beliefs` say, by simulated draws, else its own log's shares.
    """
    with runs.child(tracking, f"targets {campaign} {policy}") as run:
        corpus = Corpus.of(logged.path)
        rows, served = (first_rows(one, judging) for one in (corpus, Corpus.of(own.path)))
        number, actions = numbers(corpus), corpus.size("item") - 1
        if policy == UNIFORM:
            table, known = np.full((actions, positions(rows)), 1 / actions), "known"
        elif beliefs is None:
            table, known = shares(served, numbers(Corpus.of(own.path)), actions), "shares of its own log"
        else:
            alpha, beta = map(np.array, beliefs)
            stream = np.random.RandomState(judging.seed)
            table = position_marginals(alpha, beta, positions(rows), judging.draws, stream)
            known = f"{judging.draws:,} draws from its published beliefs"
        if len(table) != actions:
            raise InputError(
                f"beliefs about {len(table)} items, and {actions} in the log",
                file=logged.path,
                remedy="take logs and beliefs of one campaign, with its item_context.csv",
            )
        modelled = predicted(rows, corpus, table[number[1:]], judging)
        clicks = served["reward"].to_numpy()
        error = float(clicks.std() / np.sqrt(len(clicks)))
        facts = {
            "campaign": campaign, "log": rows["logging_policy"][0], "target_policy": policy, "probabilities": known,
            "truth": float(clicks.mean()), "truth_se": error,
        }  # fmt: skip
        run.params(facts)

        def write(draft: Path) -> int:
            draft.mkdir()
            rows.write_parquet(draft / LOGS)
            predictions = modelled.select("event", pl.lit(policy).alias("target_policy"), pl.exclude("event"))
            check(predictions, TARGETS)
            predictions.write_parquet(draft / TARGET)
            (draft / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
            return rows.height

        return store("targets", target, write)


def first_rows(corpus: Corpus, judging: Terms) -> pl.DataFrame:
    """The first rows of a log in time."""
    return (
        corpus.scan(LOGGED_SLATES).sort("at", "event").head(judging.rows).drop("candidates_id", strict=False).collect()
    )


def positions(rows: pl.DataFrame) -> int:
    """How many there are."""
    return int(rows["position"].to_numpy().max()) + 1


def numbers(corpus: Corpus) -> np.ndarray:
    """The publisher's number of each item, by its dense id; padding has -1."""
    return np.array([-1, *map(int, corpus.vocabulary("item").external[1:])])


def shares(rows: pl.DataFrame, number: np.ndarray, actions: int) -> Float64[np.ndarray, "I K"]:
    """How often each item was shown at each position, of all that was shown there."""
    counts = np.zeros((actions, positions(rows)))
    np.add.at(counts, (number[rows["item"].to_numpy()], rows["position"].to_numpy()), 1.0)
    return counts / counts.sum(axis=0)


def predicted(rows: pl.DataFrame, corpus: Corpus, table: Float64[np.ndarray, "I K"], judging: Terms) -> pl.DataFrame:
    """For each event the target probability, q̂ of what was shown, and q̂ under the target policy."""
    position, action = rows["position"].to_numpy(), rows["item"].to_numpy() - 1
    probability = table.T[position]
    rounds = Rounds.of(
        rows["reward"].to_numpy(),
        rows["propensity"].to_numpy(),
        probability[np.arange(len(action)), action],
        cluster=np.unique(rows["user"].to_numpy(), return_inverse=True)[1],
        reward_range=(0.0, 1.0),
    )
    choices = Choices(pairs(corpus, *table.shape)[position], probability, action)
    model = classifier(LogisticRegression(C=judging.inverse_penalty, max_iter=1_000))
    fitted = cross_fitted(rounds, choices, folds_of_users(rounds, judging.folds), model)
    return rows.select(
        "event",
        target_probability=fitted.target_probability[:, 0],
        q_hat=None if fitted.q_hat is None else fitted.q_hat[:, 0],
        q_hat_target=None if fitted.q_hat_target is None else fitted.q_hat_target[:, 0],
    )


def pairs(corpus: Corpus, actions: int, places: int) -> Float64[np.ndarray, "K I D"]:
    """Features of each item at each position: the position, and what the catalogue says of the item."""
    facts = corpus.scan(TRIPLES).filter(pl.col("head_kind") == "item").select("head", "relation", "tail").collect()
    told = facts.select(pl.struct("relation", "tail").rank("dense").cast(pl.Int64)).to_series().to_numpy() - 1
    features = np.zeros((actions, int(told.max(initial=-1)) + 1))
    features[facts["head"].to_numpy() - 1, told] = 1.0
    of_position = np.broadcast_to(np.eye(places)[:, None], (places, actions, places))
    return np.concatenate((of_position, np.broadcast_to(features, (places, *features.shape))), axis=2)


def answer(tables: Artifact, judging: Terms, *, target: Path, tracking: str | None = None) -> Artifact:
    """What `rlrec ope` says of these tables, in its files, with the truth of the other log beside each estimate."""
    facts = json.loads((tables.path / FACTS).read_text(encoding="utf-8"))
    with runs.child(tracking, f"ope {facts['campaign']} {facts['log']} to {facts['target_policy']}") as run:

        def write(draft: Path) -> int:
            draft.mkdir()
            estimate_from_parquet(
                tables.path / LOGS,
                tables.path / TARGET,
                draft,
                level=judging.level,
                reward_min=0.0,
                reward_max=1.0,
                estimators=ESTIMATORS,
                truth={facts["target_policy"]: facts["truth"]},
            )
            for name in (LOGS, TARGET, FACTS):
                shutil.copy(tables.path / name, draft)
            return len(ESTIMATORS)

        made = store("answer", target, write)
        run.files(made.path)
        return made


def tabulate(answers: Sequence[Artifact], *, target: Path, tracking: str | None = None) -> Artifact:
    """One row per log and target policy: truth, estimates with bootstrap intervals, weights, verdict."""
    frame = pl.DataFrame([row_of(one.path) for one in answers])

    def write(draft: Path) -> int:
        frame.write_parquet(draft)
        return frame.height

    made = store("exchange", target, write)
    metrics = ("truth", *ESTIMATORS, "relative_ips", "ess")
    runs.Run(tracking).metrics(
        [
            (f"{name}/{row['campaign']}/{row['log']}_to_{row['target_policy']}", row[name], 0)
            for row in frame.iter_rows(named=True)
            for name in metrics
            if row[name] is not None
        ]
    )
    return made


def row_of(folder: Path) -> dict[str, object]:
    """The row of one answer. `relative_ips` is IPS over what the log itself earned."""
    facts, estimates, diagnostics = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in (FACTS, "estimates.json", "diagnostics.json")
    )
    told = diagnostics[facts["target_policy"]]
    found = {one["estimator"]: one for one in estimates["estimates"]}
    row: dict[str, object] = {
        name: facts[name] for name in ("campaign", "log", "target_policy", "probabilities", "truth", "truth_se")
    }
    for name in ESTIMATORS:
        interval = next(one for one in found[name]["further"] if one["interval"] == "bootstrap_percentile")
        row |= {name: found[name]["value"], f"{name}_low": interval["low"], f"{name}_high": interval["high"]}
    weights = {name: found["ips"][name] for name in ("mean_weight", "max_weight", "ess")}
    failed = ", ".join(rule["rule"] for rule in told["failed"] if rule["grade"] == told["verdict"])
    relative = found["ips"]["value"] / told["logging_value"] if told["logging_value"] else None
    return row | weights | {"relative_ips": relative, "verdict": told["verdict"], "failed": failed}


def direction(row: Mapping[str, object]) -> str:
    """What a row is about."""
    return f"{row['campaign']}: {row['log']} -> {row['target_policy']}"


def interval(row: Mapping[str, float | None], name: str) -> str:
    """A value with its interval, in 1/1,000."""
    value, low, high = (row[key] for key in (name, f"{name}_low", f"{name}_high"))
    around = "" if low is None or high is None else f" [{PER * low:.2f}, {PER * high:.2f}]"
    return "–" if value is None else f"{PER * value:.2f}{around}"


def markdown(table: Artifact) -> str:
    """The whole table, values in 1/1,000."""
    head = (
        "log -> target",
        "truth",
        *(name.upper() for name in ESTIMATORS),
        "IPS / log",
        "mean w, max w, ESS",
        "verdict",
    )
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in pl.read_parquet(table.path).iter_rows(named=True):
        cells = (
            direction(row), f"{PER * row['truth']:.2f} ± {PER * row['truth_se']:.2f}",
            *(interval(row, name) for name in ESTIMATORS),
            "–" if row["relative_ips"] is None else f"{row['relative_ips']:.6f}",
            f"{row['mean_weight']:.3f}, {row['max_weight']:,.1f}, {row['ess']:,.0f}",
            f"{row['verdict']}: {row['failed']}" if row["failed"] else row["verdict"],
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join((*lines, "", basis(table))) + "\n"


def basis(table: Artifact) -> str:
    """How the target policies are known, and what the numbers are."""
    frame = pl.read_parquet(table.path).unique("target_policy").sort("target_policy")
    told = "; ".join(f"{name}: {known}" for name, known in frame.select("target_policy", "probabilities").iter_rows())
    return f"In 1/1,000 per shown item. Truth: the mean of the policy's own log. Probabilities: {told}."


def terminal_table(table: Artifact) -> Table:
    """The columns that fit at a terminal, in 1/1,000."""
    shown = Table("log -> target", "truth", *(name.upper() for name in SHOWN), "ESS", "verdict")
    for row in pl.read_parquet(table.path).iter_rows(named=True):
        values = (f"{PER * row['truth']:.2f}", *(interval(row, name) for name in SHOWN), f"{row['ess']:,.0f}")
        shown.add_row(direction(row), *values, row["verdict"])
    return shown


def publish(plan: Exchange, table: Artifact, answers: Sequence[Artifact], tracking: str | None) -> str | None:
    """Parameters and the table on the parent run, all files under plain names in `latest()`; returns the run's page."""
    run = runs.Run(tracking)
    run.params(plan.model_dump(mode="json"))
    run.tags({"git_commit": runs.commit()})
    run.files(table.path)
    with aside(latest()) as draft:
        draft.mkdir()
        (draft / "table.md").write_text(markdown(table), encoding="utf-8")
        for one in answers:
            facts = json.loads((one.path / FACTS).read_text(encoding="utf-8"))
            place = draft / f"{facts['campaign']}-{facts['log']}-to-{facts['target_policy']}"
            shutil.copytree(one.path, place)
    return run.link()


def latest() -> Path:
    """Where the latest run's files lie, in a folder per row such as `women-bts-to-random`."""
    return home() / "exchange"
