"""A small world carried through the task bodies, from tables to evidence; and practice drawn at random."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from rlrec.batches import Contexts
from rlrec.corpus import Corpus
from rlrec.feedback.contexts import contexts_frame
from rlrec.feedback.evidence import Evidence, Feedback
from rlrec.graph.metapaths import NEIGHBOURS, MetaPaths
from rlrec.pretrain.bpr import BPR
from rlrec.simulators.logged_slates import World
from rlrec.tables import EDGES, VOCABULARY
from tasks.artifacts import Artifact, digest_of
from tasks.evidence import PRACTICE, SERVING, gather
from tasks.graphs import graphs
from tasks.learn import pretrain
from tasks.simulate import simulate
from tests.enumeration import draw
from tests.worlds import small_world, write

USERS, ITEMS, TASTES = 40, 80, 12
SLATE = 5
WORLD = World(
    candidates=20, slate=SLATE, metapath_candidates=3, tail_candidates=1, prefixes=50, mean_click=0.2,
    train_requests=4, select_requests=2, eval_requests=2,
)  # fmt: skip
FEEDBACK = Feedback(folds=2, trees=10, leaves=4, smallest_leaf=20)
STAGE_A = BPR(epochs=3, width=8, batch_size=256)


@dataclass(frozen=True)
class Learned:
    """What the task bodies made of a corpus."""

    corpus: Artifact
    graphs: Artifact
    simulated: Artifact
    pretrained: Artifact
    evidence: Artifact

    @property
    def practice(self) -> Corpus:
        """What Stage B trains on."""
        return Corpus.of(self.corpus.path, self.graphs.path, self.evidence.path / PRACTICE)

    @property
    def serving(self) -> Corpus:
        """What its policy sees when it acts."""
        return Corpus.of(self.corpus.path, self.graphs.path, self.evidence.path / SERVING)


def tables(folder: Path) -> Artifact:
    """The tables of the small world; nobody has rated more than half of its items."""
    small_world(folder, users=USERS, items=ITEMS, groups=TASTES)
    return Artifact(uri=str(folder), digest=digest_of(folder), kind="corpus")


def learn(corpus: Artifact, folder: Path) -> Learned:
    """Graphs, the simulated world, Stage A and the evidence of a corpus."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLREC_HOME", str(folder / "home"))
        related = graphs(corpus, WORLD.positive_from, target=folder / "graphs")
        simulated = simulate(corpus, related, WORLD, target=folder / "world")
        pretrained = pretrain(corpus, related, STAGE_A, 1, target=folder / "pretrained")
        evidence = gather(
            corpus, related, simulated, pretrained, WORLD, FEEDBACK, 1, target=folder / "evidence"
        )  # fmt: skip
    return Learned(corpus, related, simulated, pretrained, evidence)


def drawn_practice(
    folder: Path, *, users: int = 32, items: int = 60, size: int = 12, features: int = 4, paths: int = 2
) -> Corpus:
    """CONTEXTS and EDGES of drawn numbers, in which a linear function of the features tells the reward."""
    generator = torch.Generator().manual_seed(0)
    candidates = torch.stack([1 + torch.randperm(items, generator=generator)[:size] for _ in range(users)])
    known = draw(users, size, features, seed=1, dtype=torch.float32)
    q_hat = torch.sigmoid(known @ draw(features, seed=2, dtype=torch.float32) - 1.0)
    observed = (torch.rand(users, size, generator=generator) < q_hat).float()
    contexts = Contexts(torch.arange(1, users + 1), candidates, draw(users, size, seed=3, dtype=torch.float32), known)
    folder.mkdir(parents=True, exist_ok=True)
    frame = contexts_frame(Evidence(contexts, q_hat, observed, torch.ones(users, size)), None)
    frame.write_parquet(folder / "contexts.parquet")
    neighbours = np.zeros((paths, items + 1, NEIGHBOURS), dtype=np.int32)
    weights = np.zeros((paths, items + 1, NEIGHBOURS), dtype=np.float32)
    random = np.random.default_rng(0)
    for path in range(paths):
        for item in range(1, items + 1):
            others = [other for other in random.permutation(items) + 1 if other != item]
            neighbours[path, item] = others[:NEIGHBOURS]
            weights[path, item] = random.random(NEIGHBOURS) + 0.1
    names = tuple(f"item-{name}-item" for name in ("user", "actor", "genre"))[:paths]
    frames = MetaPaths(names, neighbours, weights).edges()
    pl.concat([pl.DataFrame(schema=EDGES.schema), *frames]).write_parquet(folder / "edges.parquet")
    rows = [("item", str(item), item) for item in range(1, items + 1)]
    write(folder, VOCABULARY, pl.DataFrame(rows, schema=["kind", "external", "id"], orient="row"))
    return Corpus.of(folder)
