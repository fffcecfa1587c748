"""Two unions of recipes, Pretraining and FineTuning, and one exhaustive `match` for each thing done with them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, assert_never

from pydantic import Field
from torch import Tensor

from rlrec.algorithms import grpo_slate
from rlrec.algorithms.grpo_slate import GrpoSlate
from rlrec.corpus import Corpus
from rlrec.encoders.candidate_scorer import CandidateScorer
from rlrec.pretrain import bpr, graph_cl
from rlrec.pretrain.bpr import BPR
from rlrec.pretrain.graph_cl import GraphCL
from rlrec.runtime import Runtime, Start, Step

Pretraining = Annotated[GraphCL | BPR, Field(discriminator="algorithm")]
FineTuning = GrpoSlate


def pretrain(recipe: GraphCL | BPR, corpus: Corpus, start: Start, runtime: Runtime) -> Iterator[Step]:
    """Stage A: yields a Step an epoch."""
    match recipe:
        case GraphCL():
            return graph_cl.train(recipe, corpus, start, runtime)
        case BPR():
            return bpr.train(recipe, corpus, start, runtime)
        case _:
            assert_never(recipe)


def vectors(recipe: GraphCL | BPR, corpus: Corpus, model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The frozen `users` [U, D] and `items` [I, D] of a trained Stage A."""
    match recipe:
        case GraphCL():
            return graph_cl.vectors(recipe, corpus, model)
        case BPR():
            return bpr.vectors(recipe, corpus, model)
        case _:
            assert_never(recipe)


def finetune(recipe: GrpoSlate, corpus: Corpus, start: Start, runtime: Runtime) -> Iterator[Step]:
    """Stage B: yields a Step an epoch."""
    match recipe:
        case GrpoSlate():
            return grpo_slate.train(recipe, corpus, start, runtime)
        case _:
            assert_never(recipe)


def actor(recipe: GrpoSlate, features: int, model: Mapping[str, Tensor]) -> CandidateScorer:
    """The trained scorer of candidates out of a Stage-B model."""
    match recipe:
        case GrpoSlate():
            return grpo_slate.actor_of(recipe, features, model)
        case _:
            assert_never(recipe)
