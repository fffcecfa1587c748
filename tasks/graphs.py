"""Tables -> Parquet graph Artifacts: the user-item graph of `train`, and item neighbourhoods along meta-paths."""

import logging
from pathlib import Path

import polars as pl

from rlrec.corpus import Corpus
from rlrec.graph import bipartite
from rlrec.graph.metapaths import metapaths
from rlrec.tables import EDGES, check
from tasks.artifacts import Artifact, store
from tasks.tracking import child

logger = logging.getLogger(__name__)


def graphs(corpus: Artifact, positive_from: float, *, target: Path, tracking: str | None = None) -> Artifact:
    """EDGES of the corpus: `user-item`, and the meta-paths `item-user-item`, `item-<relation>-item`; `train` only."""
    tables = Corpus.of(corpus.path)
    with child(tracking, "graphs") as run:
        run.inputs({"corpus": corpus})
        bought = bipartite.edges(tables, ["train"], positive_from=positive_from)
        related = metapaths(tables, positive_from=positive_from).edges()
        edges = pl.concat([bought, related])
        check(edges, EDGES)

        def write(draft: Path) -> int:
            draft.mkdir()
            edges.write_parquet(draft / "edges.parquet")
            return edges.height

        counts = dict(edges.group_by("relation").len().sort("relation").iter_rows())
        logger.info("graph edges: %s", ", ".join(f"{name} {number:,}" for name, number in counts.items()))
        run.metrics([(f"edges/{name}", float(number), 0) for name, number in counts.items()])
        return store("graphs", target, write)
