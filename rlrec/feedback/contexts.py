"""Evidence as rows of the table CONTEXTS, and back."""

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rlrec.batches import Contexts
from rlrec.corpus import Corpus
from rlrec.feedback.evidence import Evidence
from rlrec.tables import CONTEXTS


def contexts_frame(evidence: Evidence, folds: int | None) -> pl.DataFrame:
    """Evidence as rows of CONTEXTS; `folds` None marks contexts that know the whole log."""
    contexts = evidence.contexts
    number = len(contexts)
    labels = None if folds is None else np.repeat(np.arange(folds), number // folds)

    def lists(values: Tensor, dtype: pl.DataType) -> pl.Series:
        flat = values.reshape(number, -1).numpy()
        return pl.Series(flat, dtype=pl.Array(dtype, flat.shape[1])).cast(pl.List(dtype))

    return pl.DataFrame(
        {
            "context": pl.Series(np.arange(number), dtype=pl.Int64),
            "user": pl.Series(contexts.user.numpy(), dtype=pl.Int32),
            "fold": pl.Series([None] * number if labels is None else labels, dtype=pl.Int8),
            "candidates": lists(contexts.candidates.int(), pl.Int32()),
            "base": lists(contexts.base, pl.Float32()),
            "features": lists(contexts.features, pl.Float32()),
            "q_hat": lists(evidence.q_hat, pl.Float32()),
            "observed": lists(evidence.observed, pl.Float32()),
            "shown": lists(evidence.shown, pl.Float32()),
        }
    )


def read_contexts(corpus: Corpus) -> Evidence:
    """The table CONTEXTS of a corpus as tensors."""
    rows = corpus.scan(CONTEXTS).sort("context").collect()
    number = rows.height

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(rows[name].explode().to_numpy().copy()).view(number, -1)

    candidates = tensor("candidates").long()
    features = tensor("features").view(number, candidates.shape[1], -1)
    user = torch.from_numpy(rows["user"].to_numpy().copy()).long()
    contexts = Contexts(user, candidates, tensor("base"), features)
    return Evidence(contexts, tensor("q_hat"), tensor("observed"), tensor("shown"))
