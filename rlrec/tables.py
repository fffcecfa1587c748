"""Every table's schema and column names, and `check(frame, schema)`.

A table exists only as a `Table` in this file. Dense identifiers start at 1; 0 is padding and never stands in a table.
A propensity is nullable here and never defaulted: an estimator that needs it says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from rlrec.errors import InputError

TIMESTAMP = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Table:
    """A named schema: required columns with their types, those that may be null, and optional columns.

    `key` names the columns that identify a row.
    """

    name: str
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    nullable: frozenset[str] = frozenset()
    optional: Mapping[str, pl.DataType] = field(default_factory=dict[str, pl.DataType])

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Required columns and their types, in order."""
        return dict(self.columns)


EVENTS = Table(
    "events",
    {
        "event": pl.Int64(),
        "user": pl.Int32(),
        "session": pl.Int64(),
        "item": pl.Int32(),
        "behaviour": pl.String(),
        "value": pl.Float64(),
        "at": TIMESTAMP,
    },
    key=("event",),
    nullable=frozenset({"session", "value", "at"}),
)

ITEMS = Table(
    "items",
    {"item": pl.Int32(), "title": pl.String(), "year": pl.Int16(), "categories": pl.List(pl.String())},
    key=("item",),
    nullable=frozenset({"title", "year"}),
)

VOCABULARY = Table(
    "vocabulary",
    {"kind": pl.String(), "external": pl.String(), "id": pl.Int32()},
    key=("kind", "external"),
)

SPLITS = Table(
    "splits",
    {"event": pl.Int64(), "split": pl.String(), "protocol": pl.String()},
    key=("event", "protocol"),
)

TRIPLES = Table(
    "triples",
    {
        "head_kind": pl.String(),
        "head": pl.Int32(),
        "relation": pl.String(),
        "tail_kind": pl.String(),
        "tail": pl.Int32(),
    },
    key=("head_kind", "head", "relation", "tail_kind", "tail"),
)

EDGES = Table(
    "edges",
    {"source": pl.Int32(), "relation": pl.String(), "target": pl.Int32(), "weight": pl.Float32()},
    key=("source", "relation", "target"),
)

CANDIDATES = Table(
    "candidates",
    {"candidates_id": pl.Int64(), "item": pl.Int32(), "rank": pl.Int16(), "origin": pl.String()},
    key=("candidates_id", "item"),
)

LOGGED_SLATES = Table(
    "logged_slates",
    {
        "event": pl.Int64(),
        "request": pl.Int64(),
        "user": pl.Int32(),
        "at": TIMESTAMP,
        "position": pl.Int16(),
        "item": pl.Int32(),
        "reward": pl.Float64(),
        "propensity": pl.Float64(),
        "propensity_kind": pl.String(),
        "propensity_source": pl.String(),
        "logging_policy": pl.String(),
        "logging_policy_version": pl.String(),
    },
    key=("event",),
    nullable=frozenset({"propensity"}),
    optional={
        "candidates_id": pl.Int64(),
        "log_prob": pl.Float64(),
        "log_prob_slate": pl.Float64(),
        "exposure": pl.Float64(),
        "temperature": pl.Float64(),
        "epsilon": pl.Float64(),
        "seed": pl.Int64(),
        "candidates": pl.List(pl.Int32()),
        "candidate_propensities": pl.List(pl.Float64()),
        "fold": pl.Int8(),
        "keep_probability": pl.Float64(),
        "sample_weight": pl.Float64(),
    },
)

TARGETS = Table(
    "targets",
    {"event": pl.Int64(), "target_policy": pl.String(), "target_probability": pl.Float64()},
    key=("event", "target_policy"),
    optional={"q_hat": pl.Float64(), "q_hat_target": pl.Float64(), "serving_digest": pl.String()},
)

LOGGERS = Table(
    "loggers",
    {"event": pl.Int64(), "logging_policy": pl.String(), "logging_probability": pl.Float64()},
    key=("event", "logging_policy"),
)

CONTEXTS = Table(
    "contexts",
    {
        "context": pl.Int64(),
        "user": pl.Int32(),
        "fold": pl.Int8(),
        "candidates": pl.List(pl.Int32()),
        "base": pl.List(pl.Float32()),
        "features": pl.List(pl.Float32()),
        "q_hat": pl.List(pl.Float32()),
        "observed": pl.List(pl.Float32()),
        "shown": pl.List(pl.Float32()),
    },
    key=("context",),
    nullable=frozenset({"fold", "observed", "shown"}),
)
"""One decision a row. Lists align with `candidates`; `features` is flattened [C, F]. `fold` null: all of the log."""

IDENTIFIERS = Table(
    "identifiers",
    {"item": pl.Int32(), "authority": pl.String(), "identifier": pl.String()},
    key=("item", "authority"),
)
"""What others call an item: `imdb`, `tmdb`."""

DIALOGUES = Table(
    "dialogues",
    {
        "dialogue": pl.String(),
        "turn": pl.Int32(),
        "role": pl.String(),
        "text": pl.String(),
        "items": pl.List(pl.Int32()),
    },
    key=("dialogue", "turn"),
)

RECOMMENDATIONS = Table(
    "recommendations",
    {
        "user": pl.String(),
        "rank": pl.Int16(),
        "item": pl.String(),
        "score": pl.Float64(),
        "propensity": pl.Float64(),
        "model_version": pl.String(),
        "explanation": pl.String(),
    },
    key=("user", "rank"),
    nullable=frozenset({"propensity", "explanation"}),
)

QUARANTINE = Table(
    "quarantine",
    {"file": pl.String(), "line": pl.Int64(), "column": pl.String(), "reason": pl.String(), "raw": pl.String()},
    key=("file", "line", "column", "reason", "raw"),
    nullable=frozenset({"line", "column", "raw"}),
)

TABLES = (
    EVENTS,
    ITEMS,
    VOCABULARY,
    SPLITS,
    TRIPLES,
    EDGES,
    CANDIDATES,
    CONTEXTS,
    LOGGED_SLATES,
    TARGETS,
    LOGGERS,
    IDENTIFIERS,
    DIALOGUES,
    RECOMMENDATIONS,
    QUARANTINE,
)


FEEDBACK_NAMES = {
    "event_id": "event",
    "request_id": "request",
    "user_id": "user",
    "action": "item",
    "time": "at",
    "q_target": "q_hat_target",
}
"""What `rlrec ope` calls columns of LOGGED_SLATES, TARGETS and LOGGERS; it reads either name."""


def spelled(names: Iterable[str], *, file: object = None) -> dict[str, str]:
    """Our name of each column of a file of feedback, and the file's.

    Raises:
        InputError: a column is there by both names.
    """
    found: dict[str, str] = {}
    for name in names:
        ours = FEEDBACK_NAMES.get(name, name)
        if ours in found:
            both = f"{found[ours]}, {name}"
            raise InputError("one column by two names", file=file, column=both, remedy=f"keep one of: {both}")
        found[ours] = name
    return found


def check(frame: pl.DataFrame | pl.LazyFrame, table: Table, *, file: object = None, unique: bool = True) -> None:
    """Refuse a frame that does not hold what `table` promises: columns, types, nulls, and a `unique` key if asked.

    Raises:
        InputError: names the file, the column, how many rows are wrong and what to do.
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    for name, dtype in table.columns.items():
        if name not in schema:
            raise InputError(
                f"table {table.name}: a required column is missing",
                file=file,
                column=name,
                remedy=f"provide {name} as {dtype}; found: {', '.join(schema.names())}",
            )
    for name, dtype in (*table.columns.items(), *table.optional.items()):
        if name in schema and schema[name] != dtype:
            raise InputError(
                f"table {table.name}: a column has type {schema[name]}, expected {dtype}",
                file=file,
                column=name,
                remedy=f"cast {name} to {dtype}",
            )
    required = [name for name in table.columns if name not in table.nullable]
    nulls = lazy.select(pl.col(name).null_count() for name in required).collect()
    for name in required:
        missing = int(nulls[name][0])
        if missing:
            raise InputError(
                f"table {table.name}: empty values where a value is required",
                file=file,
                column=name,
                rows=missing,
                remedy=f"fill or drop the rows without {name}",
            )
    if not unique or numbered(lazy, table):
        return
    repeated = lazy.select(pl.struct(table.key).is_duplicated().sum()).collect().item()
    if repeated:
        raise InputError(
            f"table {table.name}: rows repeat the key ({', '.join(table.key)})",
            file=file,
            column=table.key[0],
            rows=int(repeated),
            remedy="keep one row for each key",
        )


def numbered(lazy: pl.LazyFrame, table: Table) -> bool:
    """Whether the key is one number that grows from row to row: unique, and seen without holding it in memory."""
    (first, *others) = table.key
    if others or not table.columns[first].is_integer():
        return False
    return bool(lazy.select((pl.col(first).diff().min() > 0).fill_null(value=False)).collect().item())
