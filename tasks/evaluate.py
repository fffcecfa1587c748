"""Evaluation in two halves that never mix: true value on simulated logs, and ranking of held-out interactions."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy import sparse
from torch import Tensor

from rlrec import metrics
from rlrec.corpus import Corpus
from rlrec.feedback.contexts import read_contexts
from rlrec.graph.bipartite import interactions, seen
from rlrec.ope.evaluation import Evaluation as Found
from rlrec.ope.evaluation import evaluate
from rlrec.ope.transforms import FAMILIES
from rlrec.ops.slates import greedy_top_k, plackett_luce_marginals
from rlrec.recipes import FineTuning
from rlrec.simulators.logged_slates import World, greedy_marginals, true_value
from tasks.artifacts import Artifact, store
from tasks.checkpoints import seeded
from tasks.contenders import OPE_ROWS, STOCHASTIC_VALUE, VALUE, Row, heldout_rows, simulated_rows
from tasks.evidence import BEFORE_TEST, HELDOUT, SERVING
from tasks.learn import rounds_of
from tasks.learnable import popularity, positives
from tasks.presets import Evaluation
from tasks.resampling import averaged, differences, metric_rows
from tasks.simulate import Simulated
from tasks.tracking import child

logger = logging.getLogger(__name__)


def counterfactual(
    corpus: Artifact,
    simulated: Artifact,
    evidence: Sequence[Artifact],
    policies: Sequence[Artifact],
    world: World,
    recipe: FineTuning,
    evaluation: Evaluation,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """truth, estimates, curve and paired differences on `log_eval`. Values are expected clicks a slate."""
    universe = Simulated.of(simulated)
    log = universe.log("log_eval")
    with child(tracking, "counterfactual") as run:
        run.inputs({"world": simulated})
        rows = list(simulated_rows(corpus, simulated, evidence, policies, world, recipe, evaluation))
        served = {
            seed: read_contexts(Corpus.of(e.path / SERVING)) for seed, e in zip(evaluation.seeds, evidence, strict=True)
        }
        best: list[tuple[Row, np.ndarray]] = []
        deployed: list[tuple[Row, np.ndarray]] = []
        estimates: list[dict[str, Any]] = []
        curves: list[pl.DataFrame] = []
        for row in rows:
            places = greedy_top_k(row.scores, world.slate)
            best.append((row, true_value(universe.click, greedy_marginals(places, world.candidates)).numpy()))
            if row.seed is None and row.policy not in OPE_ROWS:
                continue
            marginals = _marginals(row, universe, world, evaluation)
            value = true_value(universe.click, marginals).numpy()
            deployed.append((row, value))
            seed = evaluation.seeds[0] if row.seed is None else row.seed
            rounds = rounds_of(log, served[seed], marginals)
            is_drawn = row.seed in (None, evaluation.seeds[0]) and row.policy != "logging"
            found = evaluate(
                rounds,
                target_policy=row.policy,
                truth=float(value.mean()),
                level=evaluation.level,
                seed=evaluation.seeds[0],
                replicates=evaluation.resamples,
                families=FAMILIES if is_drawn else FAMILIES[:1],
            )
            estimates += _estimate_rows(row, found, evaluation)
            if is_drawn:
                curves.append(_curve_rows(row, found))
            logger.info("%s seed %s: true value %.4f, %s", row.label, row.seed, value.mean(), found.verdict.grade)
        truth = averaged(best, "greedy", evaluation) + averaged(deployed, "stochastic", evaluation)
        paired = differences(best, VALUE, "simulated", evaluation) + differences(
            deployed, STOCHASTIC_VALUE, "simulated", evaluation
        )
        run.metrics([(f"truth/{r['kind']}/{r['policy']}", r["value"], r["seed"] or 0) for r in truth])
        run.metrics([(f"ope/{r['estimator']}/{r['target_policy']}", r["value"], r["seed"] or 0) for r in estimates])

        def write(draft: Path) -> int:
            draft.mkdir()
            pl.DataFrame(truth, infer_schema_length=None).write_parquet(draft / "truth.parquet")
            pl.DataFrame(estimates, infer_schema_length=None).write_parquet(draft / "estimates.parquet")
            pl.DataFrame(paired, infer_schema_length=None).write_parquet(draft / "paired.parquet")
            pl.concat(curves, how="vertical_relaxed").write_parquet(draft / "curve.parquet")
            return len(estimates)

        return store("counterfactual", target, write)


def heldout(
    corpus: Artifact,
    simulated: Artifact,
    pretrained: Sequence[Artifact],
    evidence: Sequence[Artifact],
    policies: Sequence[Artifact],
    world: World,
    recipe: FineTuning,
    evaluation: Evaluation,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """Ranking metrics on the test slice, per policy and seed, with paired differences over users.

    Everything a user did before the test slice is seen and is history. Users count with at least one test positive.
    """
    tables = Corpus.of(corpus.path)
    with child(tracking, "heldout") as run:
        run.inputs({"corpus": corpus, "world": simulated})
        relevant_rows = interactions(tables, ["test"], positive_from=world.positive_from)
        user = np.flatnonzero(np.diff(relevant_rows.indptr))
        relevant = torch.from_numpy(relevant_rows[user].toarray() > 0)
        passed = torch.from_numpy(seen(tables, BEFORE_TEST)[user].toarray() > 0)
        passed[:, 0] = True
        eligible = torch.from_numpy(tables.catalogue().eligible)
        liked = positives(tables, ["train"], world.positive_from)
        counts = torch.from_numpy(popularity(tables, liked, ["train"]))
        tail = metrics.tail_items(counts, eligible)
        rows = list(heldout_rows(corpus, simulated, user, pretrained, evidence, policies, world, recipe, evaluation))
        longest = max(evaluation.cutoffs)
        measured: list[tuple[Row, dict[str, np.ndarray]]] = []
        for row in rows:
            ranked = row.scores.masked_fill(passed, -torch.inf).topk(longest, dim=1).indices
            measured.append((row, _measure(ranked, relevant, eligible, counts, tail, evaluation.cutoffs)))
        table = metric_rows(measured, len(user), evaluation)
        paired: list[dict[str, Any]] = []
        for k in evaluation.cutoffs:
            for name in (f"ndcg@{k}", f"recall@{k}"):
                vectors = [(row, values[name]) for row, values in measured]
                paired += differences(vectors, name, "heldout", evaluation)
        candidates = read_contexts(Corpus.of(evidence[0].path / HELDOUT)).contexts
        recall = _candidate_recall(candidates.user.numpy(), candidates.candidates.numpy(), relevant_rows)
        run.metrics(
            [(f"heldout/{r['metric']}/{r['policy']}", r["value"], r["seed"] or 0) for r in table]
            + [("heldout/candidate_recall", recall, 0)]
        )

        def write(draft: Path) -> int:
            draft.mkdir()
            pl.DataFrame(table, infer_schema_length=None).write_parquet(draft / "heldout.parquet")
            pl.DataFrame(paired, infer_schema_length=None).write_parquet(draft / "paired.parquet")
            (draft / "candidate_recall.txt").write_text(repr(recall), encoding="utf-8")
            return len(table)

        return store("heldout", target, write)


def _marginals(row: Row, universe: Simulated, world: World, evaluation: Evaluation) -> Tensor:
    if row.policy == "logging":
        return universe.marginals
    generator = seeded(world.seed, "targets")
    return plackett_luce_marginals(row.scores, world.slate, evaluation.target_prefixes, generator)


def _measure(
    ranked: Tensor, relevant: Tensor, eligible: Tensor, counts: Tensor, tail: Tensor, cutoffs: Sequence[int]
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for k in cutoffs:
        top = ranked[:, :k]
        vectors = {
            "recall": metrics.recall(top, relevant),
            "precision": metrics.precision(top, relevant),
            "hit_ratio": metrics.hit_ratio(top, relevant),
            "ndcg": metrics.ndcg(top, relevant),
            "average_popularity": metrics.average_popularity(top, counts),
            "tail_share": metrics.tail_share(top, tail),
            "coverage": metrics.coverage(top, eligible).reshape(1),
            "gini": metrics.gini(top, eligible).reshape(1),
        }
        found |= {f"{name}@{k}": vector.double().numpy() for name, vector in vectors.items()}
    return found


def _candidate_recall(user: np.ndarray, candidates: np.ndarray, relevant: sparse.csr_array) -> float:
    """Share of test positives inside the candidate sets: it caps every re-ranker."""
    inside = relevant[np.repeat(user, candidates.shape[1]), candidates.ravel()].sum()
    return float(inside / relevant[user].sum())


def _estimate_rows(row: Row, found: Found, evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row an estimator, with the bootstrap interval by user."""
    weights = found.diagnostics
    return [
        {
            "target_policy": row.policy, "label": row.label, "seed": row.seed, "estimator": record.estimator,
            "value": record.value, "standard_error": record.standard_error, "low": record.low, "high": record.high,
            "level": evaluation.level, "method": record.method, "validity": record.validity, "n": record.n,
            "n_clusters": record.n_clusters, "true_value": record.true_value,
            "ess": weights.effective_sample_size, "ess_share": weights.effective_share,
            "max_weight": weights.max_weight, "mean_weight": weights.mean_weight, "verdict": record.verdict,
            "failed_rules": [f"{f.rule}: {f.value:.3g} (limit {f.limit:.3g})" for f in found.verdict.failures],
        }
        for record in found.records
        if record.method.startswith("bootstrap") or "bootstrap" in record.method
    ]  # fmt: skip


def _curve_rows(row: Row, found: Found) -> pl.DataFrame:
    """The weight-vs-bias curves, named."""
    return found.curve.with_columns(target_policy=pl.lit(row.policy), label=pl.lit(row.label))
