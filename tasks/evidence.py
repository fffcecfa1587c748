"""What the logs say about each decision: cross-fitted practice, contexts to serve, contexts of the held-out half."""

import logging
from pathlib import Path

import numpy as np
import torch
from rlrec.closed_form.ease import Ease
from rlrec.closed_form.gfcf import GfCf
from rlrec.graph.bipartite import interactions
from scipy import sparse
from torch import Tensor

from rlrec.batches import Contexts
from rlrec.corpus import Corpus
from rlrec.feedback.contexts import contexts_frame
from rlrec.feedback.evidence import (
    Evidence,
    Feedback,
    Surroundings,
    count,
    cross_fit,
    describe,
    fit_reward_model,
    look_around,
)
from rlrec.simulators.logged_slates import World
from rlrec.tables import CONTEXTS, check
from tasks.artifacts import Artifact, store
from tasks.checkpoints import read_tensors
from tasks.simulate import Simulated, candidate_sets
from tasks.tracking import child

logger = logging.getLogger(__name__)

PRACTICE, SERVING, HELDOUT = "practice", "serving", "heldout"
BEFORE_TEST = ["train", "feedback", "validation"]


def gather(
    corpus: Artifact,
    graphs: Artifact,
    simulated: Artifact,
    pretrained: Artifact,
    world: World,
    feedback: Feedback,
    seed: int,
    *,
    target: Path,
    tracking: str | None = None,
) -> Artifact:
    """Three CONTEXTS tables over `log_train`. Stage-A scores and both closed-form scorers come from `train` alone.

    `practice`: one context a (user, fold), cross-fitted. `serving`: what a policy sees when it acts, f fitted on all of
    the log. `heldout`: the same with candidates and history as of just before the test slice.
    """
    tables = Corpus.of(corpus.path, graphs.path)
    universe = Simulated.of(simulated)
    with child(tracking, "evidence", seed=seed) as run:
        run.inputs({"world": simulated, "pretrained": pretrained})
        run.params(feedback.model_dump())
        liked = interactions(tables, ["train"], positive_from=world.positive_from)
        before = interactions(tables, BEFORE_TEST, positive_from=world.positive_from)
        known = (read_tensors(pretrained.path / "vectors.safetensors"), Ease.fit(liked), GfCf.fit(liked))
        popularity = np.asarray(liked.sum(axis=0))
        log = universe.log("log_train")
        user = universe.user

        def look(candidates: Tensor, history: sparse.csr_array) -> Surroundings:
            return look_around(user, candidates, history[user.numpy()], *known, popularity)

        around = look(universe.candidates, liked)
        learned = cross_fit(around, log, feedback, seed)
        model = fit_reward_model(around, log, feedback, seed)
        everything = count(log, np.ones(len(log.context), dtype=bool), (len(user), liked.shape[1]))
        later, _ = candidate_sets(tables, user, before[user.numpy()], BEFORE_TEST, world)
        parts = {PRACTICE: contexts_frame(learned, feedback.folds)}
        for name, view in ((SERVING, around), (HELDOUT, look(later, before))):
            features = describe(view, everything, feedback)
            unseen = torch.zeros(features.shape[:2])
            contexts = Contexts(user, view.candidates, view.stage_a, features)
            parts[name] = contexts_frame(Evidence(contexts, model.predict(features), unseen, unseen), None)

        def write(draft: Path) -> int:
            for name, frame in parts.items():
                check(frame, CONTEXTS)
                (draft / name).mkdir(parents=True)
                frame.write_parquet(draft / name / "contexts.parquet")
            return sum(frame.height for frame in parts.values())

        return store("evidence", target, write)
