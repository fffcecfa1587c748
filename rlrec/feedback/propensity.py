"""Propensities of a logging policy that wrote none: estimated by a named model, and marked so.

An estimate knows only what was logged. Whatever else the policy looked at (the user, the hour, items higher up in the
slate) is confounding that it ignores: importance weights from it can be biased however many rows there are.
"""

from datetime import datetime
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


def shown_counts(slates: pl.LazyFrame, recipe: Frequency, until: datetime | None = None) -> pl.LazyFrame:
    """For each fold and item, how often the users of other folds were shown it; rows from `until` on do not count."""
    if until is not None:
        slates = slates.filter(pl.col("at") < until)
    own = slates.group_by(*CELL, "item", fold=pl.col("user") % recipe.folds).agg(own=pl.len().cast(pl.Int64))
    whole = own.group_by(*CELL, "item").agg(whole=pl.col("own").sum())
    folds = pl.LazyFrame({"fold": range(recipe.folds)}, schema={"fold": pl.Int32})
    return (
        whole.join(folds, how="cross")
        .join(own, on=[*FOLD, "item"], how="left")
        .select(*FOLD, "item", shown=pl.col("whole") - pl.col("own").fill_null(0))
    )


def estimated(
    slates: pl.LazyFrame,
    recipe: Frequency,
    items: int,
    candidates: pl.LazyFrame | None = None,
    until: datetime | None = None,
) -> pl.LazyFrame:
    """The slates with an estimate, `estimated`, where an `item_position` propensity is null; recorded ones stand.

    `items` is the size of the catalogue, `candidates` the table CANDIDATES. A row whose item is not among its own
    candidates stays `missing`. Estimates sum to 1 over the candidates of a decision, or over the catalogue.
    """
    counts, a = shown_counts(slates, recipe, until), recipe.smoothing
    if "candidates_id" not in slates.collect_schema():
        slates = slates.with_columns(candidates_id=pl.lit(None, pl.Int64))
    wanted = pl.col("propensity").is_null() & (pl.col("propensity_kind") == "item_position")
    rows = slates.with_columns(fold=pl.col("user") % recipe.folds)
    totals = counts.group_by(FOLD).agg(total=pl.col("shown").sum())
    rows = rows.join(counts, on=[*FOLD, "item"], how="left").join(totals, on=FOLD, how="left")
    share = (pl.col("shown").fill_null(0) + a) / (pl.col("total").fill_null(0) + a * items)
    if candidates is None:
        guess = pl.when(pl.col("candidates_id").is_null()).then(share)
    else:
        choices = candidates.select("candidates_id", "item").unique()
        among = (
            rows.filter(wanted).select(*FOLD, "candidates_id").unique()
            .join(choices, on="candidates_id")
            .join(counts, on=[*FOLD, "item"], how="left")
            .group_by(*FOLD, "candidates_id")
            .agg(mass=(pl.col("shown").fill_null(0) + a).sum())
        )  # fmt: skip
        rows = rows.join(among, on=[*FOLD, "candidates_id"], how="left").join(
            choices.with_columns(offered=True), on=["candidates_id", "item"], how="left"
        )
        within = (pl.col("shown").fill_null(0) + a) / pl.col("mass")
        guess = pl.when(pl.col("candidates_id").is_null()).then(share).when(pl.col("offered")).then(within)
    names = slates.collect_schema().names()
    return (
        rows.with_columns(guess=pl.when(wanted).then(guess))
        .with_columns(
            propensity=pl.coalesce("propensity", "guess"),
            propensity_source=pl.when(pl.col("guess").is_not_null())
            .then(pl.lit("estimated"))
            .otherwise("propensity_source"),
        )
        .select(names)
        .sort("event")
    )


def log_loss(slates: pl.LazyFrame) -> float | None:
    """Mean of -log propensity over the estimated rows, in nats; none without such rows."""
    some = slates.filter(pl.col("propensity_source") == "estimated")
    return some.select(-pl.col("propensity").log().mean()).collect().item()
