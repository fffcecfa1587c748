"""A log as `rlrec ope` reads it: which columns say request, user and position, where some are not there."""

from collections.abc import Collection
from typing import Literal, get_args

import polars as pl

from rlrec.errors import InputError
from rlrec.ope.codes import HOLDER
from rlrec.ope.validation import require_columns
from rlrec.tables import FEEDBACK_NAMES, LOGGED_SLATES, spelled

Unit = Literal["row", "request"]
UNITS: tuple[Unit, ...] = get_args(Unit)
ESTIMANDS: dict[Unit, str] = {
    "row": "expected reward of a log row",
    "request": "expected sum of rewards over the rows of a request",
}


def roles(names: Collection[str], unit: Unit, cluster: str | None, *, file: object) -> dict[str, str | None]:
    """The column read as request, user (the cluster) and position; a position of None is the same for all rows.

    Without requests each row is its own, without users the request is the cluster.

    Raises:
        InputError: a cluster that is no column, or requests whose rows have no position where they must be told apart.
    """
    require_columns(list(names), ("event",), LOGGED_SLATES.name, file=file)
    request = "request" if "request" in names else "event"
    user = "user" if "user" in names else request
    if cluster is not None:
        user = chosen_column(cluster, names, file=file)
    if "position" in names:
        return {"request": request, "user": user, "position": "position"}
    if unit == "request" and request == "request":
        raise InputError(
            "requests of several rows, and no positions",
            file=file,
            column="position",
            remedy="number the rows of each request, or ask for the mean over rows: --per row",
        )
    return {"request": "event", "user": user, "position": None}


def chosen_column(asked: str, names: Collection[str], *, file: object) -> str:
    """A column asked for by either of its names, by ours.

    Raises:
        InputError: it is not there.
    """
    ours = FEEDBACK_NAMES.get(asked, asked)
    if ours not in names:
        raise InputError("no such column", file=file, column=asked, remedy=f"choose among: {', '.join(names)}")
    return ours


def renamed(frame: pl.LazyFrame, *, file: object) -> pl.LazyFrame:
    """The same columns by our names."""
    names = spelled(frame.collect_schema().names(), file=file)
    return frame.rename({written: ours for ours, written in names.items()})


def completed(log: pl.LazyFrame, unit: Unit, cluster: str | None, *, file: object) -> pl.LazyFrame:
    """A log, by our names, with a request, user and position in each row."""
    names = log.collect_schema().names()
    found = roles(names, unit, cluster, file=file)
    if "user" in names and found["user"] != "user":
        log = log.with_columns(pl.col("user").alias(HOLDER))
    return log.with_columns(
        (pl.lit(1, pl.Int16) if column is None else pl.col(column)).alias(role) for role, column in found.items()
    )
