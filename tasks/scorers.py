"""Closed-form scorers of a stored corpus, fitted once a process: an artifact's folder never changes its content."""

from dataclasses import dataclass
from functools import lru_cache

from rlrec.closed_form.ease import Ease
from rlrec.closed_form.gfcf import GfCf
from rlrec.corpus import Corpus
from tasks.artifacts import Artifact
from tasks.learnable import positives


@dataclass(frozen=True)
class TrainScorers:
    """EASE and GF-CF fitted on `train`."""

    ease: Ease
    gfcf: GfCf


@lru_cache(maxsize=2)
def train_scorers(corpus: Artifact, positive_from: float) -> TrainScorers:
    """Fit both, or hand out what this process has fitted already."""
    liked = positives(Corpus.of(corpus.path), ["train"], positive_from)
    return TrainScorers(Ease.fit(liked), GfCf.fit(liked))
