"""Propensities of a corpus: what is held out from their model, the estimates, and what is told of both."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from rlrec.corpus import Corpus
from rlrec.feedback.frequencies import Frequency
from rlrec.feedback.logistic import Logistic
from rlrec.feedback.propensity import Fitted, calibration_error, fit, log_loss
from rlrec.leakage import HELD_OUT
from rlrec.splits import WORLD, GlobalTime
from rlrec.tables import CANDIDATES, EVENTS, LOGGED_SLATES, SPLITS, check
from tasks.database import assure
from tasks.queries import LeakedSlates

LATEST = 0.2  # of the time of slates whose log has no held-out events: what a global split would hold out
MOMENT = GlobalTime.model_fields["protocol"].default


@dataclass(frozen=True)
class Boundary:
    """Where learning stops: before `until` for all, and before each user's first held-out event of the world split."""

    rule: str
    until: datetime | None = None

    @staticmethod
    def of(tables: Corpus) -> "Boundary":
        """A split at one moment sets `until`; where no event is held out, the slates' own last part is."""
        late = held(tables, MOMENT).select(pl.col("at").min()).collect().item()
        if late is not None:
            return Boundary(MOMENT, late)
        if held(tables, WORLD).head(1).collect().height:
            return Boundary(WORLD)
        times = tables.scan(LOGGED_SLATES).select(pl.col("at").quantile(1 - LATEST, interpolation="higher"))
        return Boundary("latest", times.collect().item())

    def inside(self, slates: pl.LazyFrame, tables: Corpus) -> pl.LazyFrame:
        """The slates that may be learned from."""
        first = held(tables, WORLD).group_by("user").agg(first=pl.col("at").min())
        early = pl.col("first").is_null() | (pl.col("at") < pl.col("first"))
        if self.until is not None:
            early &= pl.col("at") < self.until
        return slates.join(first, on="user", how="left").filter(early).drop("first")


def held(tables: Corpus, protocol: str) -> pl.LazyFrame:
    """The events that a protocol holds out, if it is there, and if they have times."""
    out = tables.scan(SPLITS).filter(pl.col("protocol") == protocol, pl.col("split").is_in(HELD_OUT))
    return tables.scan(EVENTS).filter(pl.col("at").is_not_null()).join(out, on="event", how="semi")


def fill_propensities(
    tables: Corpus, recipe: Frequency, items: int, scratch: Path, connection: duckdb.DuckDBPyConnection
) -> dict[str, Any]:
    """Fill LOGGED_SLATES where nothing was recorded; return what corpus.json tells of the model.

    Raises:
        BrokenCheckError: the model learned from a slate that is held out.
    """
    file, boundary = tables.path(LOGGED_SLATES), Boundary.of(tables)
    early, filled = scratch / "learned.parquet", scratch / "filled.parquet"
    boundary.inside(tables.scan(LOGGED_SLATES), tables).sink_parquet(early)
    leaked = LeakedSlates(
        learned=early,
        events=tables.path(EVENTS),
        splits=tables.path(SPLITS),
        by_user=WORLD,
        at_once=MOMENT,
        until=boundary.until.isoformat() if boundary.until else "infinity",
    )
    assure(leaked, connection)
    learned = pl.scan_parquet(early)
    model = fit(learned, recipe, items, tables.scan(CANDIDATES))
    model.fill(tables.scan(LOGGED_SLATES)).sink_parquet(filled)
    check(pl.scan_parquet(filled), LOGGED_SLATES, file=file.name)
    told = {
        **recipe.model_dump(mode="json"),
        "held_out": boundary.rule,
        "fitted_until": boundary.until.isoformat() if boundary.until else None,
        "learned_rows": learned.select(pl.len()).collect().item(),
        **judged(model, pl.scan_parquet(filled)),
    }
    if isinstance(recipe, Logistic):
        simpler = Frequency(smoothing=recipe.smoothing, folds=recipe.folds)
        plain = fit(learned, simpler, items, tables.scan(CANDIDATES))
        told["log_loss_frequency"] = log_loss(plain.fill(tables.scan(LOGGED_SLATES)))
    shutil.move(filled, file)
    return told


def judged(model: Fitted, filled: pl.LazyFrame) -> dict[str, Any]:
    """How well estimates fit what was shown: log-loss, also of the rows that taught nothing, and reliability."""
    table = model.reliability(filled)
    unseen = filled.join(model.learned, on="event", how="anti")
    return {
        "log_loss": log_loss(filled),
        "log_loss_held_out": log_loss(unseen),
        "calibration_error": calibration_error(table),
        "reliability": table.to_dicts(),
    }


def sources(tables: Corpus) -> dict[str, int]:
    """How many shown items have a propensity of each source: `logged`, `estimated`, `missing`."""
    rows = tables.scan(LOGGED_SLATES).group_by("propensity_source").len().sort("propensity_source").collect()
    return dict(rows.iter_rows())
