"""What the logs say about each decision: cross-fitted practice, contexts to serve, contexts of the held-out half."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlrec.batches import Contexts, LoggedSlates
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
from rlrec.feedback.reward_model import RewardModel
from rlrec.graph.bipartite import interactions, shape_of
from rlrec.simulators.logged_slates import World
from rlrec.tables import CONTEXTS, check
from tasks.artifacts import Artifact, store
from tasks.checkpoints import read_tensors
from tasks.learnable import popularity, positives
from tasks.scorers import train_scorers
from tasks.simulate import Simulated, candidate_sets
from tasks.tracking import child

logger = logging.getLogger(__name__)

PRACTICE, SERVING, HELDOUT, DEPLOYED = "practice", "serving", "heldout", "deployed"
BEFORE_TEST = ["train", "feedback", "validation"]
EVERYTHING = [*BEFORE_TEST, "test"]


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
    """Four CONTEXTS tables over `log_train`. Stage-A scores and both closed-form scorers come from `train` alone.

    `practice`: one context a (user, fold), cross-fitted. `serving`: what a policy sees when it acts, f fitted on all of
    the log. `heldout`: the same with candidates and history as of just before the test slice.
    `deployed`: for every user, as of the end of the data; nothing is evaluated on it.
    """
    tables = Corpus.of(corpus.path, graphs.path)
    universe = Simulated.of(simulated)
    with child(tracking, "evidence", seed=seed) as run:
        run.inputs({"world": simulated, "pretrained": pretrained})
        run.params(feedback.model_dump())
        liked = positives(tables, ["train"], world.positive_from)
        scorers = train_scorers(corpus, world.positive_from)
        known = (read_tensors(pretrained.path / "vectors.safetensors"), scorers.ease, scorers.gfcf)
        counts = popularity(tables, liked, ["train"])
        log = universe.log("log_train")
        around = look_around(universe.user, universe.candidates, liked[universe.user.numpy()], *known, counts)
        learned = cross_fit(around, log, feedback, seed)
        model = fit_reward_model(around, log, feedback, seed)
        parts = {
            PRACTICE: contexts_frame(learned, feedback.folds),
            SERVING: contexts_frame(_informed(around, log, universe.user, model, feedback), None),
        }
        everybody = torch.arange(1, shape_of(liked)[0])
        for name, user, before in ((HELDOUT, universe.user, BEFORE_TEST), (DEPLOYED, everybody, EVERYTHING)):
            history = interactions(tables, before, positive_from=world.positive_from)[user.numpy()]
            candidates, _ = candidate_sets(tables, scorers.gfcf, user, history, before, world)
            view = look_around(user, candidates, history, *known, counts)
            parts[name] = contexts_frame(_informed(view, log, universe.user, model, feedback), None)

        def write(draft: Path) -> int:
            for name, frame in parts.items():
                check(frame, CONTEXTS)
                (draft / name).mkdir(parents=True)
                frame.write_parquet(draft / name / "contexts.parquet")
            return sum(frame.height for frame in parts.values())

        return store("evidence", target, write)


def _informed(
    around: Surroundings, log: LoggedSlates, logged: Tensor, model: RewardModel, feedback: Feedback
) -> Evidence:
    """Contexts that know the whole log, which was written for the users `logged`; nothing is left to correct by."""
    place = torch.full((int(around.user.max()) + 1,), -1, dtype=torch.long)
    place[around.user] = torch.arange(len(around.user))
    own = replace(log, context=place[logged][log.context])
    shape = (len(around.user), around.relations.shape[0])
    features = describe(around, count(own, np.ones(len(own.context), dtype=bool), shape), feedback)
    contexts = Contexts(around.user, around.candidates, around.stage_a, features)
    nothing = torch.zeros(features.shape[:2])
    return Evidence(contexts, model.predict(features), nothing, nothing)
