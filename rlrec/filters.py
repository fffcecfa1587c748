"""Filters: which events a corpus keeps, in which order they are asked, and how many each drops."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field


@dataclass(frozen=True)
class Dropped:
    """How many events a filter dropped."""

    filter: str
    rows: int


class ExactDuplicates(BaseModel):
    """Keep one of several events that are equal in user, item, behaviour, value, time and session."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    filter: Literal["exact_duplicates"] = "exact_duplicates"


Filter = Annotated[ExactDuplicates, Field()]


def apply(events: pl.LazyFrame, filters: Sequence[Filter], scratch: Path) -> tuple[pl.LazyFrame, list[Dropped]]:
    """The events that pass all filters, and what each dropped."""
    dropped = []
    for chosen in filters:
        before = events.select(pl.len()).collect().item()
        events = events.filter(~pl.col("repeat"))
        dropped.append(Dropped(chosen.filter, before - events.select(pl.len()).collect().item()))
    return events, dropped
