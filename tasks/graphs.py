"""Tables -> Parquet graph Artifacts: the user-item graph of `train`, and item neighbourhoods along meta-paths."""

import json
import logging
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from rlrec.corpus import Corpus
from rlrec.graph.bipartite import edges, interactions
from rlrec.graph.metapaths import metapaths
from rlrec.tables import EDGES
from tasks.artifacts import Artifact, store
from tasks.learnable import assure_edges
from tasks.tracking import child
from tasks.views import CORPUS

logger = logging.getLogger(__name__)

VERSION = "version.json"
BESIDE = 0.25  # of the memory limit for the database: the graph is in memory, too


def graphs(
    corpus: Artifact, positive_from: float, *, target: Path, hub: int | None = None, tracking: str | None = None
) -> Artifact:
    """EDGES of the corpus: `user-item`, and the meta-paths `item-user-item`, `item-<relation>-item`; `train` only,
    which is held against the other slices before anything is stored.

    Users and nodes with more than `hub` items stay in `user-item`, but no meta-path leads through them.
    VERSION says which corpus and settings they were made from. It is part of the digest: equal edges of two corpora are
    two results, and whatever is made of one of them and kept tells its own origin.
    Metrics: `edges/<relation>`, how many; `hubs/<relation>`, how many users or nodes were left out of a meta-path.

    Raises:
        BrokenCheckError: an edge stands for no event of `train`.
    """
    tables = Corpus.of(corpus.path)
    with child(tracking, "graphs") as run:
        run.inputs({"corpus": corpus})
        liked = interactions(tables, ["train"], positive_from=positive_from)
        related = metapaths(tables, liked, hub=hub)
        counts: Counter[str] = Counter()
        settings = {"positive_from": positive_from, "hub": hub, "neighbours": related.neighbours.shape[-1]}
        version = {"corpus": corpus.digest, **origin(tables.folders[0]), **settings}

        def write(draft: Path) -> int:
            draft.mkdir()
            schema = pl.DataFrame(schema=EDGES.schema).to_arrow().schema
            with pq.ParquetWriter(draft / "edges.parquet", schema, compression="zstd") as file:
                for batch in chain(edges(liked), related.edges()):
                    file.write_table(batch.to_arrow())
                    counts.update(dict(batch.group_by("relation").len().iter_rows()))
            assure_edges(draft / "edges.parquet", tables, ["train"], draft.parent, BESIDE)
            (draft / VERSION).write_text(json.dumps(version), encoding="utf-8")
            return counts.total()

        stored = store("graphs", target, write)
        logger.info("graph edges: %s", ", ".join(f"{name} {number:,}" for name, number in counts.items()))
        if hub is not None:
            left_out = ", ".join(f"{name} {number:,}" for name, number in related.hubs.items())
            logger.info("users or nodes on more than %s items, left out of meta-paths: %s", f"{hub:,}", left_out)
        run.metrics([(f"edges/{name}", float(number), 0) for name, number in counts.items()])
        run.metrics([(f"hubs/{name}", float(number), 0) for name, number in related.hubs.items()])
        return stored


def origin(corpus: Path) -> dict[str, Any]:
    """The warehouse's generation and the view's settings, where the corpus was made by ingestion."""
    file = corpus / CORPUS
    told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {name: told[name] for name in ("generation", "view") if name in told}
