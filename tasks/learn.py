"""The two stages: pretrain an encoder and freeze it; fine-tune a slate policy, choosing checkpoints by OPE alone."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlrec import recipes
from rlrec.batches import Contexts, LoggedSlates
from rlrec.corpus import Corpus
from rlrec.encoders.candidate_scorer import CandidateScorer
from rlrec.feedback.contexts import read_contexts
from rlrec.feedback.evidence import Evidence
from rlrec.ope.estimators import dr
from rlrec.ope.intervals import clustered
from rlrec.ope.rounds import Rounds
from rlrec.ops.slates import discounts, places_of, plackett_luce_marginals
from rlrec.recipes import FineTuning, Pretraining
from rlrec.runtime import Runtime, Start, Step
from tasks.artifacts import Artifact, store
from tasks.checkpoints import seeded, write_tensors
from tasks.evidence import PRACTICE, SERVING
from tasks.learnable import positives
from tasks.presets import Evaluation
from tasks.simulate import Simulated
from tasks.tracking import Run, child
from tasks.train import Training, forget, pursue

logger = logging.getLogger(__name__)

CRITERION = "select/dr_low"


def pretrain(
    corpus: Artifact,
    graphs: Artifact,
    recipe: Pretraining,
    seed: int,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """Stage A: the frozen `users` and `items` vectors, from `train` alone, with the history of the training."""
    tables = Corpus.of(corpus.path, graphs.path)
    runtime = Runtime(generator=seeded(seed, "pretrain"))
    with child(tracking, "pretrain", seed=seed) as run:
        run.inputs({"corpus": corpus, "graphs": graphs})
        run.params({**recipe.model_dump(), "seed": seed})
        positives(tables, ["train"], recipe.positive_from)  # what the recipe makes of the same tables, checked

        def begin(start: Start) -> Iterator[Step]:
            return recipes.pretrain(recipe, tables, start, runtime)

        training = pursue(begin, {}, target.name, watch=_announce("pretrain", seed))
        vectors = recipes.vectors(recipe, tables, training.model)
        artifact = _store(training, {"vectors": vectors}, "pretrained", target, run)
    forget(target.name)
    return artifact


def finetune(
    corpus: Artifact,
    graphs: Artifact,
    simulated: Artifact,
    evidence: Artifact,
    recipe: FineTuning,
    evaluation: Evaluation,
    seed: int,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """Stage B: the policy whose lower confidence bound on `log_select` was best, with the history of the training."""
    tables = Corpus.of(corpus.path, graphs.path, evidence.path / PRACTICE)
    serving = read_contexts(Corpus.of(evidence.path / SERVING))
    selection = Simulated.of(simulated).log("log_select")
    runtime = Runtime(generator=seeded(seed, "finetune"))

    def begin(start: Start) -> Iterator[Step]:
        return recipes.finetune(recipe, tables, start, runtime)

    def judge(step: Step) -> dict[str, float]:
        actor = recipes.actor(recipe, serving.contexts.features.shape[-1], step.state_dicts["model"])
        logits = actor_scores(actor, serving.contexts) / recipe.temperature
        marginals = plackett_luce_marginals(logits, recipe.slate, evaluation.select_prefixes, seeded(seed, "selection"))
        rounds = rounds_of(selection, serving, marginals)
        found = dr(rounds)
        interval = clustered(found, rounds, evaluation.level)
        return {"select/dr_value": found.value, CRITERION: interval.low, "select/dr_high": interval.high}

    with child(tracking, "finetune", seed=seed) as run:
        run.inputs({"world": simulated, "evidence": evidence})
        run.params({**recipe.model_dump(), "seed": seed})
        training = pursue(begin, {}, target.name, judge=judge, criterion=CRITERION, watch=_announce("finetune", seed))
        artifact = _store(training, {"model": training.model}, "policy", target, run)
    forget(target.name)
    return artifact


@torch.no_grad()
def actor_scores(actor: CandidateScorer, contexts: Contexts) -> Tensor:
    """Scores [N, C] of every context's candidates."""
    return actor(contexts.base, contexts.features)


@dataclass(frozen=True)
class Shown:
    """Of R lists of J shown items each: π(item at its position), the predicted reward, and its mean under π there.

    `inside` says which are among the candidates.
    """

    inside: Bool[Tensor, "R J"]
    probability: Float[Tensor, "R J"]
    q_hat: Float[Tensor, "R J"] | None
    q_hat_target: Float[Tensor, "R J"] | None


def shown(
    marginals: Float[Tensor, "N K C"],
    candidates: Int[Tensor, "N C"],
    q_hat: Float[Tensor, "N C"] | None,
    context: Int[Tensor, "R"],
    items: Int[Tensor, "R J"],
    position: Int[Tensor, "R J"],
) -> Shown:
    """What a policy with these position marginals makes of shown items; positions count from 0.

    The reward model's prediction at position k is θ_k f; its value under the target is θ_k Σ_i π(i at k) f(x, i). An
    item outside the candidates has probability 0, and a prediction of 0 that no estimator reads.
    """
    places = places_of(items.unsqueeze(1), candidates[context]).squeeze(1)
    inside, place, row = places >= 0, places.clamp_min(0), context.unsqueeze(1)
    probability = torch.where(inside, marginals[row, position, place], 0.0).clamp(0.0, 1.0)
    if q_hat is None:
        return Shown(inside, probability, None, None)
    theta = discounts(marginals.shape[1])
    direct = (marginals * q_hat.unsqueeze(1)).sum(2) * theta
    predicted = torch.where(inside, q_hat[row, place], 0.0) * theta[position]
    return Shown(inside, probability, predicted, direct[row, position])


def rounds_of(log: LoggedSlates, serving: Evidence, marginals: Tensor) -> Rounds:
    """What OPE reads of a log, for the target policy with these position marginals over the serving contexts."""
    position = torch.arange(log.items.shape[1]).expand_as(log.items)
    candidates = serving.contexts.candidates
    found = shown(marginals, candidates, serving.q_hat, log.context, log.items, position)
    return Rounds.of(
        reward=log.reward.numpy(),
        propensity=log.propensity.numpy(),
        target_probability=found.probability.numpy(),
        cluster=log.context.numpy(),
        q_hat=None if found.q_hat is None else found.q_hat.numpy(),
        q_hat_target=None if found.q_hat_target is None else found.q_hat_target.numpy(),
        actions=torch.full(log.items.shape, candidates.shape[1]).numpy() if bool(found.inside.all()) else None,
        reward_range=(0.0, 1.0),
    )


def _store(training: Training, tensors: dict[str, dict[str, Tensor]], kind: str, target: Path, run: Run) -> Artifact:
    run.metrics(list(training.history.select("metric", "value", "step").iter_rows()))
    run.metrics([("select/chosen_step", float(training.chosen), 0)])

    def write(draft: Path) -> int:
        draft.mkdir()
        for name, values in tensors.items():
            write_tensors(draft / f"{name}.safetensors", values)
        training.history.write_parquet(draft / "history.parquet")
        (draft / "chosen.txt").write_text(str(training.chosen), encoding="utf-8")
        return training.history["step"].n_unique()

    return store(kind, target, write)


def _announce(stage: str, seed: int):
    def say(step: Step, metrics: dict[str, float]) -> None:
        shown = {name: metrics[name] for name in ("train/loss", "reward/mean", CRITERION) if name in metrics}
        text = "  ".join(f"{name} {value:.4f}" for name, value in shown.items())
        logger.info("%s seed %d, epoch %d: %s", stage, seed, step.number, text)

    return say


def best_score(policy: Artifact, metric: str) -> float:
    """The metric of the chosen Step of a stored training."""
    chosen = int((policy.path / "chosen.txt").read_text(encoding="utf-8"))
    history = pl.read_parquet(policy.path / "history.parquet")
    return float(history.filter(pl.col("step") == chosen, pl.col("metric") == metric)["value"].item())
