"""Propensities of a logging policy that wrote none: estimated by a named model, and marked so.

An estimate knows only what was logged. Whatever else the policy looked at (the user's taste, items higher up in the
slate) is confounding that it ignores: importance weights from it can be biased however many rows there are.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field

from rlrec.feedback.frequencies import FOLD, Frequency, shown_counts
from rlrec.feedback.logistic import SITUATION, Logistic, corrections, grouped, situated, sizes

EDGES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)  # of the reliability table's bins
DIGITS = 12  # sums in another order differ beyond

Model = Annotated[Frequency | Logistic, Field(discriminator="model")]


@dataclass(frozen=True)
class Fitted:
    """A model of the logging policy: w(i) = (shown + a) lift, and P(i) = w(i) / Σ w over the choice.

    The choice is the row's candidates, or the catalogue.
    """

    recipe: Frequency
    learned: pl.LazyFrame
    items: int
    candidates: pl.LazyFrame
    groups: pl.DataFrame
    lifts: pl.DataFrame

    @property
    def last(self) -> int:
        """The group of items that were never shown."""
        return self.recipe.groups - 1 if isinstance(self.recipe, Logistic) else 0

    def situated(self, slates: pl.LazyFrame) -> pl.LazyFrame:
        """The slates with `fold` and `context`."""
        return situated(slates, self.learned, self.recipe)

    def weighed(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows of a situation and an item, with the item's `weight`."""
        counts = shown_counts(self.learned, self.recipe.folds)
        return self.lifted(
            rows.join(counts, on=[*FOLD, "item"], how="left")
            .join(self.groups.lazy(), on=["fold", "item"], how="left")
            .with_columns(pl.col("shown").fill_null(0), pl.col("group").fill_null(self.last))
        )

    def lifted(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Rows of a situation, a group and a count, with their `weight`."""
        weight = (pl.col("shown") + self.recipe.smoothing) * pl.col("lift").fill_null(1.0)
        lifts = self.lifts.lazy()
        return rows.join(lifts, on=["fold", "context", "group"], how="left").with_columns(weight=weight)

    def open_choices(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """What there was to choose from in the situations of rows without candidates: items with the same weight
        stand together, `alike` is their number; `decisions` is the number of rows.
        """
        situations = rows.filter(pl.col("candidates_id").is_null()).group_by(SITUATION).agg(decisions=pl.len())
        shown = (
            shown_counts(self.learned, self.recipe.folds)
            .filter(pl.col("shown") > 0)
            .join(self.groups.lazy(), on=["fold", "item"], how="left")
            .group_by(*FOLD, "shown", group=pl.col("group").fill_null(self.last))
            .agg(alike=pl.len().cast(pl.Int64))
        )
        cells = situations.select(FOLD).unique().join(self.sizes(), on="fold")
        rest = cells.join(
            shown.group_by(*FOLD, "group").agg(pl.col("alike").sum()), on=[*FOLD, "group"], how="left"
        ).select(*FOLD, shown=pl.lit(0, pl.Int64), group="group", alike=pl.col("size") - pl.col("alike").fill_null(0))
        some = pl.concat([shown, rest]).filter(pl.col("alike") > 0)
        return self.lifted(situations.join(some, on=FOLD))

    def sizes(self) -> pl.LazyFrame:
        """How many items of the catalogue are in each group, for each fold."""
        if isinstance(self.recipe, Logistic):
            number = sizes(self.groups, self.recipe, self.items)
        else:
            number = np.full((self.recipe.folds, 1), self.items)
        folds, groups = np.indices(number.shape, dtype=np.int32)
        columns = {"fold": folds.ravel(), "group": groups.ravel(), "size": number.ravel().astype(np.int64)}
        return pl.LazyFrame(columns)

    def listed_choices(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The candidates of the situations of rows that have them; `decisions` is the number of rows."""
        situations = rows.filter(pl.col("candidates_id").is_not_null()).group_by(*SITUATION, "candidates_id")
        return self.weighed(situations.agg(decisions=pl.len()).join(self.candidates, on="candidates_id"))

    def fill(self, slates: pl.LazyFrame) -> pl.LazyFrame:
        """The slates with an estimate, `estimated`, where an `item_position` propensity is null; recorded ones stand.

        A row whose item is not among its own candidates stays `missing`.
        """
        slates = with_candidates(slates)
        wanted = pl.col("propensity").is_null() & (pl.col("propensity_kind") == "item_position")
        rows = self.situated(slates)
        asked = rows.filter(wanted)
        catalogue = self.open_choices(asked).group_by(SITUATION).agg(all=(pl.col("alike") * pl.col("weight")).sum())
        among = self.listed_choices(asked).group_by(*SITUATION, "candidates_id").agg(some=pl.col("weight").sum())
        offered = self.candidates.with_columns(offered=True)
        mass = (
            pl.when(pl.col("candidates_id").is_null()).then("all").when(pl.col("offered")).then("some")
        )  # nothing where the item was not offered
        return (
            self.weighed(rows)
            .join(catalogue, on=SITUATION, how="left")
            .join(among, on=[*SITUATION, "candidates_id"], how="left")
            .join(offered, on=["candidates_id", "item"], how="left")
            .with_columns(guess=pl.when(wanted).then((pl.col("weight") / mass).round_sig_figs(DIGITS)))
            .with_columns(
                propensity=pl.coalesce("propensity", "guess"),
                propensity_source=pl.when(pl.col("guess").is_not_null())
                .then(pl.lit("estimated"))
                .otherwise("propensity_source"),
            )
            .select(slates.collect_schema().names())
            .sort("event")
        )

    def reliability(self, filled: pl.LazyFrame) -> pl.DataFrame:
        """Predicted and observed share by bin of the estimate, over all items of all choices of the estimated rows.

        `choices`: how many (decision, item) pairs were given a propensity from `low` to below `high`; `predicted`:
        their mean propensity; `observed`: the share of them that was shown. `shown` counts these.
        """
        some = with_candidates(filled).filter(pl.col("propensity_source") == "estimated")
        rows = self.situated(some)
        catalogue, among = self.open_choices(rows), self.listed_choices(rows).with_columns(alike=pl.lit(1, pl.Int64))
        parts = [
            pairs.join(pairs.group_by(key).agg(mass=(pl.col("alike") * pl.col("weight")).sum()), on=key).select(
                guess=pl.col("weight") / pl.col("mass"), pairs=pl.col("alike") * pl.col("decisions")
            )
            for pairs, key in ((catalogue, [*SITUATION]), (among, [*SITUATION, "candidates_id"]))
        ]
        offered = (
            pl.concat(parts)
            .group_by(place=bin_of("guess"))
            .agg(choices=pl.col("pairs").sum(), expected=(pl.col("pairs") * pl.col("guess")).sum())
        )
        shown = some.group_by(place=bin_of("propensity")).agg(shown=pl.len().cast(pl.Int64))
        edges = pl.DataFrame({"low": [0.0, *EDGES], "high": [*EDGES, 1.0]}).with_row_index("place")
        return (
            edges.with_columns(pl.col("place").cast(pl.Int32))
            .join(offered.collect(engine="streaming"), on="place")
            .join(shown.collect(engine="streaming"), on="place", how="left")
            .with_columns(pl.col("shown").fill_null(0))
            .select(
                "low",
                "high",
                "choices",
                "shown",
                predicted=pl.col("expected") / pl.col("choices"),
                observed=pl.col("shown") / pl.col("choices"),
            )
            .sort("low")
        )


def fit(learned: pl.LazyFrame, recipe: Frequency, items: int, candidates: pl.LazyFrame | None = None) -> Fitted:
    """Learn the logging policy from these slates. `items` is the size of the catalogue, `candidates` the table."""
    learned = with_candidates(learned)
    schema = {"candidates_id": pl.Int64, "item": pl.Int32}
    offers = pl.LazyFrame(schema=schema) if candidates is None else candidates.select(*schema).unique()
    groups = pl.DataFrame(schema={"fold": pl.Int32, "item": pl.Int32, "group": pl.Int32})
    lifts = pl.DataFrame(schema={"fold": pl.Int32, "context": pl.Int32, "group": pl.Int32, "lift": pl.Float64})
    if isinstance(recipe, Logistic):
        groups = grouped(learned, recipe)
        lifts = corrections(learned, recipe, groups, items, candidates)
    return Fitted(recipe, learned, items, offers, groups, lifts)


def with_candidates(slates: pl.LazyFrame) -> pl.LazyFrame:
    """The slates with the column `candidates_id`, empty where the log has none."""
    if "candidates_id" in slates.collect_schema():
        return slates
    return slates.with_columns(candidates_id=pl.lit(None, pl.Int64))


def bin_of(column: str) -> pl.Expr:
    """The number of the bin of the reliability table, from 0."""
    return pl.sum_horizontal((pl.col(column) >= edge).cast(pl.Int32) for edge in EDGES)


def log_loss(slates: pl.LazyFrame) -> float | None:
    """Mean of -log propensity over the estimated rows, in nats; none without such rows."""
    some = slates.filter(pl.col("propensity_source") == "estimated")
    return some.select(-pl.col("propensity").log().mean()).collect().item()


def calibration_error(table: pl.DataFrame) -> float | None:
    """Σ over the bins of |shown - expected|, a decision: 0 is calibrated, at most 2. None without estimated rows."""
    gap = (pl.col("shown") - pl.col("predicted") * pl.col("choices")).abs().sum() / pl.col("shown").sum()
    found: Any = table.select(gap).item() if table["shown"].sum() else None
    return found
