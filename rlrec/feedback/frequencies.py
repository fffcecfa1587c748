"""How often a logging policy showed an item at a position: counted apart for each fold of users."""

from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

CELL = ("logging_policy", "logging_policy_version", "position")
FOLD = (*CELL, "fold")


class Frequency(BaseModel):
    """How often an item was shown at a position by a logging policy, smoothed: (n + a) / Σ (n + a) over the choice.

    The choice is the row's candidates, or the catalogue. Each user is scored by counts of other folds' users.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Literal["frequency"] = "frequency"
    smoothing: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Added to the count of every item."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Users fall into as many parts, by their id."""


def own_counts(slates: pl.LazyFrame, folds: int) -> pl.LazyFrame:
    """For each fold and item, how often the fold's own users were shown it."""
    return slates.group_by(*CELL, "item", fold=pl.col("user") % folds).agg(own=pl.len().cast(pl.Int64))


def shown_counts(slates: pl.LazyFrame, folds: int) -> pl.LazyFrame:
    """For each fold and item, how often the users of other folds were shown it."""
    own = own_counts(slates, folds)
    whole = own.group_by(*CELL, "item").agg(whole=pl.col("own").sum())
    every = pl.LazyFrame({"fold": range(folds)}, schema={"fold": pl.Int32})
    return (
        whole.join(every, how="cross")
        .join(own, on=[*FOLD, "item"], how="left")
        .select(*FOLD, "item", shown=pl.col("whole") - pl.col("own").fill_null(0))
    )
