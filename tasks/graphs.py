"""Tables -> Parquet graph Artifacts: the user-item graph of `train`, and item neighbourhoods along meta-paths."""

import logging
from collections import Counter
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from rlrec.corpus import Corpus
from rlrec.graph.bipartite import edges, interactions
from rlrec.graph.metapaths import metapaths
from rlrec.leakage import assure_no_leak
from rlrec.splits import WORLD, WORLD_SLICES
from rlrec.tables import EDGES
from tasks.artifacts import Artifact, store
from tasks.tracking import child

logger = logging.getLogger(__name__)


def graphs(
    corpus: Artifact, positive_from: float, *, target: Path, hub: int | None = None, tracking: str | None = None
) -> Artifact:
    """EDGES of the corpus: `user-item`, and the meta-paths `item-user-item`, `item-<relation>-item`; `train` only,
    which is held against the other slices before anything is stored.

    Users and nodes with more than `hub` items stay in `user-item`, but no meta-path leads through them.
    Metrics: `edges/<relation>`, how many; `hubs/<relation>`, how many users or nodes were left out of a meta-path.

    Raises:
        LeakError: an edge stands for no event of `train`.
    """
    tables = Corpus.of(corpus.path)
    with child(tracking, "graphs") as run:
        run.inputs({"corpus": corpus})
        liked = interactions(tables, ["train"], positive_from=positive_from)
        related = metapaths(tables, liked, hub=hub)
        counts: Counter[str] = Counter()

        def write(draft: Path) -> int:
            draft.mkdir()
            schema = pl.DataFrame(schema=EDGES.schema).to_arrow().schema
            with pq.ParquetWriter(draft / "edges.parquet", schema, compression="zstd") as file:
                for batch in chain(edges(liked), related.edges()):
                    file.write_table(batch.to_arrow())
                    counts.update(dict(batch.group_by("relation").len().iter_rows()))
            assure_no_leak(tables, WORLD, edges=pl.scan_parquet(draft / "edges.parquet"), slices=WORLD_SLICES[1:])
            return counts.total()

        stored = store("graphs", target, write)
        logger.info("graph edges: %s", ", ".join(f"{name} {number:,}" for name, number in counts.items()))
        if hub is not None:
            left_out = ", ".join(f"{name} {number:,}" for name, number in related.hubs.items())
            logger.info("users or nodes on more than %s items, left out of meta-paths: %s", f"{hub:,}", left_out)
        run.metrics([(f"edges/{name}", float(number), 0) for name, number in counts.items()])
        run.metrics([(f"hubs/{name}", float(number), 0) for name, number in related.hubs.items()])
        return stored
