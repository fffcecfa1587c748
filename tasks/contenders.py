"""Who is compared: baselines on three sets of information, Stage A, the reward model, and the RL policy."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from rlrec import metrics, recipes
from rlrec.closed_form.ease import Ease
from rlrec.closed_form.gfcf import GfCf
from rlrec.closed_form.popularity import Popularity
from rlrec.corpus import Corpus
from rlrec.feedback.contexts import read_contexts
from rlrec.feedback.evidence import Evidence
from rlrec.graph.bipartite import interactions, seen, shape_of
from rlrec.ops.slates import standardise
from rlrec.recipes import FineTuning
from rlrec.simulators.logged_slates import World
from tasks.artifacts import Artifact
from tasks.checkpoints import read_tensors
from tasks.evidence import BEFORE_TEST, HELDOUT, SERVING
from tasks.learn import actor_scores
from tasks.learnable import positives
from tasks.presets import Evaluation
from tasks.simulate import Simulated

logger = logging.getLogger(__name__)

TRAIN, CLICKS, FEEDBACK = "train", "train + clicks", "train + feedback"
LABELS = {
    "logging": "Logging policy (BPR-MF)",
    "popular": "Most popular",
    "ease": "EASE",
    "gfcf": "GF-CF",
    "again": "Clicked before, then EASE",
    "reward_model": "Reward model, ranked",
    "stage_a": "Stage A",
    "grpo": "Stage B (GRPO-RS)",
    "oracle": "Candidate oracle",
}
RL = "grpo"
VALUE = "value"
STOCHASTIC_VALUE = "value_sampled"
OPE_ROWS = ("logging", "popular_train", "ease_train", "ease_clicks")
SHORT = {TRAIN: "train", CLICKS: "clicks", FEEDBACK: "feedback"}


@dataclass(frozen=True)
class Row:
    """One policy of a comparison; `seed` null for what is not trained from one."""

    policy: str
    label: str
    fitted_on: str | None
    seed: int | None
    scores: Tensor
    """[N, C] over candidates in the simulated half, [N, I] over items in the held-out half."""


@dataclass(frozen=True)
class Baselines:
    """The closed-form scorers of one fit, and the rows that they were fitted on."""

    fitted_on: str
    popular: Popularity
    ease: Ease
    gfcf: GfCf
    rows: sparse.csr_array
    l2: float

    def named(self) -> Iterator[tuple[str, Popularity | Ease | GfCf]]:
        """Each scorer with its name."""
        yield from (("popular", self.popular), ("ease", self.ease), ("gfcf", self.gfcf))


@lru_cache(maxsize=1)
def baselines(corpus: Artifact, simulated: Artifact, world: World, evaluation: Evaluation) -> tuple[Baselines, ...]:
    """Popularity, EASE and GF-CF fitted on `train`, on `train` plus clicked items, on `train` + `feedback`.

    EASE's ridge is chosen by NDCG@10 on the validation slice, for each fit by itself. Both halves share the fits.
    """
    tables = Corpus.of(corpus.path)
    liked = positives(tables, ["train"], world.positive_from)
    more = positives(tables, ["train", "feedback"], world.positive_from)
    shape = shape_of(liked)
    clicks = clicked(Simulated.of(simulated), shape)
    fits: list[Baselines] = []
    for name, rows in ((TRAIN, liked), (CLICKS, _union(liked, clicks)), (FEEDBACK, more)):
        history = _union(more, clicks) if name == CLICKS else more
        ease, l2 = _tuned_ease(tables, rows, history, world, evaluation)
        logger.info("EASE on %s: ridge %g by validation", name, l2)
        fits.append(Baselines(name, Popularity.fit(rows), ease, GfCf.fit(rows), rows, l2))
    return tuple(fits)


def clicked(universe: Simulated, shape: tuple[int, int]) -> sparse.csr_array:
    """How often each user clicked each item in `log_train`, as counts [U, I]."""
    log = universe.log("log_train")
    hit = log.reward > 0
    owner = universe.user[log.context].unsqueeze(1).expand_as(log.items)[hit]
    ones = np.ones(int(hit.sum()), dtype=np.float32)
    counts = sparse.csr_array((ones, (owner.numpy(), log.items[hit].numpy())), shape=shape)
    counts.sum_duplicates()
    return counts


def clicked_first(scores: Tensor, counts: Tensor) -> Tensor:
    """Items by how often the user clicked them, then by score: EASE's zero diagonal keeps a click from its own item,
    but in this world what was clicked once is likely to be clicked again."""
    return torch.sigmoid(standardise(scores)) + counts


def _union(*parts: sparse.csr_array) -> sparse.csr_array:
    total = sparse.csr_array(sum(parts[1:], start=parts[0].copy()))
    total.sum_duplicates()
    total.data[:] = 1.0
    return total


def _tuned_ease(
    tables: Corpus, rows: sparse.csr_array, history: sparse.csr_array, world: World, evaluation: Evaluation
) -> tuple[Ease, float]:
    wanted = interactions(tables, ["validation"], positive_from=world.positive_from)
    user = np.flatnonzero(np.diff(wanted.indptr))
    relevant = torch.from_numpy(wanted[user].toarray() > 0)
    passed = torch.from_numpy(seen(tables, ["train", "feedback"])[user].toarray() > 0)
    fits = [(Ease.fit(rows, l2=l2), l2) for l2 in evaluation.l2_grid]

    def quality(fit: tuple[Ease, float]) -> float:
        ranked = fit[0].predict(history[user]).masked_fill(passed, -torch.inf).topk(10, dim=1).indices
        return float(metrics.ndcg(ranked, relevant).mean())

    return max(fits, key=quality)


def simulated_rows(
    corpus: Artifact,
    simulated: Artifact,
    evidence: Sequence[Artifact],
    policies: Sequence[Artifact],
    world: World,
    recipe: FineTuning,
    evaluation: Evaluation,
) -> Iterator[Row]:
    universe = Simulated.of(simulated)
    yield Row("logging", LABELS["logging"], TRAIN, None, universe.logits)
    yield Row("oracle", LABELS["oracle"], None, None, universe.click)
    for fit in baselines(corpus, simulated, world, evaluation):
        for name, scorer in fit.named():
            scores = scorer.predict(fit.rows[universe.user.numpy()]).gather(1, universe.candidates)
            yield Row(f"{name}_{SHORT[fit.fitted_on]}", LABELS[name], fit.fitted_on, None, standardise(scores))
            if name == "ease" and fit.fitted_on == CLICKS:
                counts = clicked(universe, shape_of(fit.rows))[universe.user.numpy()]
                again = clicked_first(scores, torch.from_numpy(counts.toarray()).gather(1, universe.candidates))
                yield Row("again_clicks", LABELS["again"], CLICKS, None, again)
    for seed, known, policy in zip(evaluation.seeds, evidence, policies, strict=True):
        serving = read_contexts(Corpus.of(known.path / SERVING))
        yield Row("stage_a", LABELS["stage_a"], TRAIN, seed, serving.contexts.base)
        yield Row("reward_model", LABELS["reward_model"], CLICKS, seed, standardise(serving.q_hat))
        yield Row(RL, LABELS[RL], CLICKS, seed, _policy_scores(recipe, policy, serving))


def heldout_rows(
    corpus: Artifact,
    simulated: Artifact,
    user: np.ndarray,
    pretrained: Sequence[Artifact],
    evidence: Sequence[Artifact],
    policies: Sequence[Artifact],
    world: World,
    recipe: FineTuning,
    evaluation: Evaluation,
) -> Iterator[Row]:
    before = interactions(Corpus.of(corpus.path), BEFORE_TEST, positive_from=world.positive_from)
    clicks = clicked(Simulated.of(simulated), shape_of(before))
    for fit in baselines(corpus, simulated, world, evaluation):
        history = (_union(before, clicks) if fit.fitted_on == CLICKS else before)[user]
        for name, scorer in fit.named():
            scores = scorer.predict(history)
            yield Row(f"{name}_{SHORT[fit.fitted_on]}", LABELS[name], fit.fitted_on, None, scores)
            if name == "ease" and fit.fitted_on == CLICKS:
                again = clicked_first(scores, torch.from_numpy(clicks[user].toarray()))
                yield Row("again_clicks", LABELS["again"], CLICKS, None, again)
    for seed, vectors, known, policy in zip(evaluation.seeds, pretrained, evidence, policies, strict=True):
        frozen = read_tensors(vectors.path / "vectors.safetensors")
        yield Row("stage_a", LABELS["stage_a"], TRAIN, seed, frozen["users"][user] @ frozen["items"].T)
        later = read_contexts(Corpus.of(known.path / HELDOUT))
        for name, scores in (("reward_model", later.q_hat), (RL, _policy_scores(recipe, policy, later))):
            yield Row(name, LABELS[name], CLICKS, seed, _spread(later, scores, user, shape_of(before)[1]))


def _spread(evidence: Evidence, scores: Tensor, user: np.ndarray, items: int) -> Tensor:
    """Candidate scores over all items; what is no candidate is never ranked above one."""
    place = torch.full((int(evidence.contexts.user.max()) + 1,), -1, dtype=torch.long)
    place[evidence.contexts.user] = torch.arange(len(evidence.contexts))
    rows = place[torch.from_numpy(user)]
    lowest = torch.full((len(user), items), float(scores.min()) - 1.0)
    return lowest.scatter(1, evidence.contexts.candidates[rows], scores[rows])


def _policy_scores(recipe: FineTuning, policy: Artifact, evidence: Evidence) -> Tensor:
    model = read_tensors(policy.path / "model.safetensors")
    actor = recipes.actor(recipe, evidence.contexts.features.shape[-1], model)
    return actor_scores(actor, evidence.contexts) / recipe.temperature
