"""The default world: response model, logging policy, candidate sets, and the three logs (graph spec 2.13)."""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import Tensor

from rlrec.batches import LoggedSlates, logged_slates
from rlrec.candidates import ORIGINS, Quotas, choose, metapath_affinity
from rlrec.closed_form.ease import Ease
from rlrec.closed_form.gfcf import GfCf
from rlrec.corpus import Corpus
from rlrec.graph.bipartite import seen, shape_of
from rlrec.graph.metapaths import MetaPaths, from_edges
from rlrec.metrics import tail_items
from rlrec.ops.slates import standardise
from rlrec.pretrain import bpr
from rlrec.runtime import Runtime, Start
from rlrec.simulators.logged_slates import World, click_probability, log_requests, logging_marginals
from rlrec.tables import CANDIDATES, EDGES, LOGGED_SLATES, check
from tasks.artifacts import Artifact, store
from tasks.checkpoints import read_tensors, seeded, write_tensors
from tasks.learnable import popularity, positives
from tasks.scorers import train_scorers
from tasks.tracking import child

logger = logging.getLogger(__name__)

LOGS = ("log_train", "log_select", "log_eval")
MOST_ITEMS_FOR_EASE = 20_000
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)  # simulated requests follow one another by a second from here
LOGGING_POLICY = "bpr-plackett-luce"
CHUNK = 2_048


@dataclass(frozen=True)
class Simulated:
    """A stored world, read back: contexts are users with feedback, in order of their ids."""

    folder: Path
    user: Tensor
    candidates: Tensor
    logits: Tensor
    marginals: Tensor
    click: Tensor

    @staticmethod
    def of(artifact: Artifact) -> "Simulated":
        """The world of an artifact."""
        tensors = read_tensors(artifact.path / "world.safetensors")
        return Simulated(folder=artifact.path, **tensors)

    def log(self, name: str) -> LoggedSlates:
        """One of `LOGS` as tensors."""
        return logged_slates(self.rows(name), self.user)

    def rows(self, name: str) -> pl.DataFrame:
        """One of `LOGS` as LOGGED_SLATES rows."""
        return Corpus.of(self.folder / name).scan(LOGGED_SLATES).sort("request", "position").collect()


def simulate(
    corpus: Artifact, graphs: Artifact, world: World, *, target: Path, tracking: str | None = None
) -> Artifact:
    """Candidates, the logging policy with its position marginals, the true click probabilities, and three logs."""
    tables = Corpus.of(corpus.path, graphs.path)
    with child(tracking, "simulate") as run:
        run.inputs({"corpus": corpus, "graphs": graphs})
        run.params(world.model_dump())
        liked = positives(tables, ["train"], world.positive_from)
        feedback = positives(tables, ["feedback"], world.positive_from)
        user = torch.from_numpy(np.flatnonzero(np.diff(feedback.indptr))).long()
        candidates, origins = candidate_sets(
            tables, train_scorers(corpus, world.positive_from).gfcf, user, liked[user.numpy()], ["train"], world
        )
        logits = logger_logits(tables, user, candidates, world)
        marginals, error = logging_marginals(logits, world, seeded(world.seed, "marginals"))
        click = true_clicks(feedback, user, world).gather(1, candidates)
        requests = (world.train_requests, world.select_requests, world.eval_requests)
        logs = {
            name: log_requests(logits, candidates, marginals, click, number, world, seeded(world.seed, name))
            for name, number in zip(LOGS, requests, strict=True)
        }
        facts = {
            "contexts": len(user),
            "marginal_error": error,
            "clicks_per_slate": {name: float(log.reward.sum(1).mean()) for name, log in logs.items()},
            "slates": {name: len(log.items) for name, log in logs.items()},
            "mean_click": float(click.mean()),
        }
        logger.info("simulated %s contexts, %s slates", f"{len(user):,}", f"{sum(facts['slates'].values()):,}")
        run.metrics(
            [("world/marginal_error", error, 0)]
            + [(f"world/clicks_per_slate/{name}", value, 0) for name, value in facts["clicks_per_slate"].items()]
        )

        def write(draft: Path) -> int:
            draft.mkdir()
            candidate_rows(user, candidates, origins).write_parquet(draft / "candidates.parquet")
            for number, (name, log) in enumerate(logs.items()):
                (draft / name).mkdir()
                rows = log_rows(log, user, world, first=1 + sum(len(logs[n].items) for n in LOGS[:number]))
                check(rows, LOGGED_SLATES)
                rows.write_parquet(draft / name / "logged_slates.parquet")
            tensors = {
                "user": user, "candidates": candidates, "logits": logits, "marginals": marginals, "click": click,
            }  # fmt: skip
            write_tensors(draft / "world.safetensors", tensors)
            (draft / "world.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            return sum(facts["slates"].values())

        return store("world", target, write)


def candidate_sets(
    tables: Corpus, scorer: GfCf, user: Tensor, history: sparse.csr_array, before: list[str], world: World
) -> tuple[Tensor, Tensor]:
    """Candidates of these users, given the rows of their history: by score, meta-path and tail.

    What a user did in the splits `before` is seen and never a candidate.
    """
    liked = positives(tables, ["train"], world.positive_from)
    paths = from_edges(tables.scan(EDGES).collect(), shape_of(liked)[1])
    counts = torch.from_numpy(popularity(tables, liked, ["train"]))
    catalogue = tables.catalogue()
    tail = tail_items(counts, torch.from_numpy(catalogue.eligible))
    passed = seen(tables, before)[user.numpy()]
    quotas = Quotas(world.candidates, world.metapath_candidates, world.tail_candidates)
    parts = [
        _candidates_of(scorer, paths, tail, user[rows], history[rows], passed[rows], quotas, world.seed)
        for rows in (slice(start, start + CHUNK) for start in range(0, len(user), CHUNK))
    ]
    return torch.cat([items for items, _ in parts]), torch.cat([origins for _, origins in parts])


def _candidates_of(
    scorer: GfCf,
    paths: MetaPaths,
    tail: Tensor,
    user: Tensor,
    history: sparse.csr_array,
    passed: sparse.csr_array,
    quotas: Quotas,
    seed: int,
) -> tuple[Tensor, Tensor]:
    taken = torch.from_numpy(passed.toarray() > 0)
    return choose(scorer.predict(history), taken, metapath_affinity(history, paths), tail, user, quotas, seed)


def logger_logits(tables: Corpus, user: Tensor, candidates: Tensor, world: World) -> Tensor:
    """Standardised BPR-MF scores of the candidates over τ: what the logging policy draws from."""
    recipe = bpr.BPR(positive_from=world.positive_from)
    runtime = Runtime(generator=seeded(world.seed, "logger"))
    *_, last = bpr.train(recipe, tables, Start(), runtime)
    vectors = bpr.vectors(recipe, tables, last.state_dicts["model"])
    products = (vectors["users"][user].unsqueeze(1) * vectors["items"][candidates]).sum(2)
    return standardise(products) / world.temperature


def true_clicks(feedback: sparse.csr_array, user: Tensor, world: World) -> Tensor:
    """y(x, i) [N, I] of the response model: EASE on `feedback`, or GF-CF where EASE would not fit; padding 0."""
    if shape_of(feedback)[1] <= MOST_ITEMS_FOR_EASE:
        scores = Ease.fit(feedback, l2=world.response_l2).predict(feedback[user.numpy()])
    else:
        scores = GfCf.fit(feedback).predict(feedback[user.numpy()])
    click = torch.zeros_like(scores)
    click[:, 1:] = torch.from_numpy(click_probability(scores[:, 1:].numpy(), world))
    return click


def candidate_rows(user: Tensor, candidates: Tensor, origins: Tensor) -> pl.DataFrame:
    """CANDIDATES rows; a set is named by its user."""
    number, size = candidates.shape
    return pl.DataFrame(
        {
            "candidates_id": user.repeat_interleave(size).numpy(),
            "item": candidates.reshape(-1).int().numpy(),
            "rank": np.tile(np.arange(size, dtype=np.int16), number),
            "origin": np.array(ORIGINS)[origins.reshape(-1).numpy()],
        }
    ).cast(pl.Schema(CANDIDATES.schema))


def log_rows(log: LoggedSlates, user: Tensor, world: World, first: int) -> pl.DataFrame:
    """LOGGED_SLATES rows with the propensity contract; requests are numbered from `first`."""
    number, k = log.items.shape
    request = np.repeat(np.arange(first, first + number), k)
    owner = user[log.context].repeat_interleave(k).numpy()
    columns = {
        "event": (request - 1) * k + np.tile(np.arange(k), number) + 1,
        "request": request,
        "user": owner,
        "at": [BEGINNING + timedelta(seconds=int(second)) for second in request],
        "position": np.tile(np.arange(k), number),
        "item": log.items.reshape(-1).numpy(),
        "reward": log.reward.reshape(-1).double().numpy(),
        "propensity": log.propensity.reshape(-1).double().numpy(),
        "candidates_id": owner,
        "exposure": log.exposure.reshape(-1).double().numpy(),
    }
    constants = {
        "propensity_kind": "item_position",
        "propensity_source": "simulated",
        "logging_policy": LOGGING_POLICY,
        "logging_policy_version": "1",
        "temperature": world.temperature,
        "epsilon": world.epsilon,
        "seed": world.seed,
    }
    rows = pl.DataFrame(columns).with_columns(pl.lit(value).alias(name) for name, value in constants.items())
    schema = LOGGED_SLATES.schema | {n: t for n, t in LOGGED_SLATES.optional.items() if n in rows.columns}
    return rows.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
