"""TARGETS of registered policies over a log: how likely each was to show what was shown there, and what it expects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.ope.validation import MODEL_COLUMNS, require_columns
from rlrec.tables import LOGGED_SLATES, TARGETS, VOCABULARY
from tasks.artifacts import aside
from tasks.checkpoints import seeded
from tasks.estimates import scan
from tasks.feedback import completed
from tasks.served import Served

NAMED_USERS = 5
BATCH_USERS, BATCH_ROWS = 4_096, 200_000  # of one policy at a time: what is held in memory


@dataclass(frozen=True, eq=False)
class Log:
    """A log to be judged on: its file, and rows of event, user and item (external ids) and place, from 0 up to k."""

    file: Path
    rows: pl.LazyFrame
    k: int

    def users(self) -> pl.DataFrame:
        """Each user with the number of rows."""
        return self.rows.group_by("user").len().sort("user").collect()

    def without(self, users: Sequence[str], file: Path) -> "Log":
        """The log of the other users, its rows written to `file`."""
        rows = self.rows.filter(~pl.col("user").is_in(list(users)))
        scan(self.file).join(rows.select("event"), on="event", how="semi").sink_parquet(file)
        return replace(self, file=file, rows=rows)


def read_log(logs: Path, vocabulary: Path | None = None) -> Log:
    """A Parquet file with external ids, or a corpus's LOGGED_SLATES; dense ids are named by `vocabulary`, else by it.

    Raises:
        InputError: no such file or table, no user, item or position, or dense ids that nothing names.
    """
    file = Corpus.of(logs).path(LOGGED_SLATES) if logs.is_dir() else logs
    frame = scan(file)
    require_columns(frame.collect_schema().names(), ("event", "user", "item"), LOGGED_SLATES.name, file=file)
    names = frame.collect_schema().names()
    if "request" in names and "position" not in names:
        raise InputError(
            "lists without positions cannot be judged", file=file, column="position",
            remedy="number the rows of each request from the top",
        )  # fmt: skip
    rows = completed(frame, "request", None, file=file).select("event", "user", "item", "position")
    first, last, empty = rows.select(
        first=pl.col("position").min(),
        last=pl.col("position").max(),
        empty=pl.any_horizontal(pl.all().is_null()).sum(),
    ).collect().row(0)  # fmt: skip
    if empty or first not in (0, 1):
        raise InputError(
            "rows have no event, user, item or position, or positions do not count from 0 or 1", file=file,
            column="position", rows=empty, remedy="log what was shown to whom, at which place from the top",
        )  # fmt: skip
    if is_dense(file):
        names = named(file, logs if vocabulary is None else vocabulary)
        for kind in ("user", "item"):
            known = names.filter(pl.col("kind") == kind).select(pl.col("id").alias(kind), name="external")
            rows = rows.cast({kind: pl.Int32}).join(known, on=kind, how="left")
            rows = rows.with_columns(pl.col("name").fill_null("").alias(kind)).drop("name")
    place = pl.col("position").cast(pl.Int64) - first
    return Log(file, rows.select("event", pl.col("user", "item").cast(pl.String), place=place), int(last - first) + 1)


def is_dense(file: Path) -> bool:
    """Whether users and items are our own numbers, as in LOGGED_SLATES: whole, and by our names of the columns."""
    columns = pl.scan_parquet(file, glob=False).collect_schema()
    return all(name in columns and columns[name].is_integer() for name in ("user", "item"))


def named(file: Path, corpus: Path) -> pl.LazyFrame:
    """The vocabulary of a corpus.

    Raises:
        InputError: there is none.
    """
    if not corpus.is_dir() or not (tables := Corpus.of(corpus)).has(VOCABULARY):
        raise InputError(
            "users and items are dense ids, and no vocabulary says whose", file=file, column="user, item",
            remedy="name the corpus they come from: --vocabulary CORPUS; or call external ids user_id and action",
        )  # fmt: skip
    return tables.scan(VOCABULARY)


def known_to_all(log: Log, policies: Sequence[Served], scratch: Path, *, leave_out: bool) -> tuple[Log, list[str]]:
    """The log of those users whom every policy knows, and a note on who was left out, where that was asked for.

    Raises:
        InputError: a user is unknown to some policy and must not be left out, or all are.
    """
    users = log.users()
    scratch.mkdir(parents=True, exist_ok=True)
    known = set.intersection(*(set(one.rows) for one in policies))
    unknown = users.filter(~pl.col("user").is_in(list(known)))
    if unknown.is_empty():
        return log, []
    rows, total, first = int(unknown["len"].sum()), int(users["len"].sum()), unknown["user"].head(NAMED_USERS)
    if not leave_out or len(unknown) == len(users):
        raise InputError(
            f"{len(unknown):,} of {len(users):,} users are unknown to a policy, the first: {', '.join(first)}",
            file=log.file, column="user", rows=rows,
            remedy="train on a log that has them, or judge the others alone: --leave-out-unknown",
        )  # fmt: skip
    note = f"{len(unknown):,} users unknown to a policy were left out, with {rows / total:.1%} of the rows"
    return log.without(unknown["user"].to_list(), scratch / "judged.parquet"), [note]


def write_targets(log: Log, policies: Sequence[Served], prefixes: int, seed: int, file: Path) -> None:
    """TARGETS rows of every policy, a few users at a time, as one Parquet file."""
    event = log.rows.collect_schema()["event"]
    predicted = {name: TARGETS.optional[name] for name in MODEL_COLUMNS}
    schema = pl.DataFrame(schema={**TARGETS.columns, **predicted, "event": event}).to_arrow().schema
    with aside(file) as draft, pq.ParquetWriter(draft, schema) as writer:
        for one in policies:
            for part in target_rows(log, one, prefixes, seed):
                writer.write_table(part.to_arrow().cast(schema))


def target_rows(log: Log, policy: Served, prefixes: int, seed: int) -> Iterator[pl.DataFrame]:
    """TARGETS rows of one policy, users in the order of its contexts.

    Raises:
        InputError: lists longer than its candidate sets.
    """
    if log.k > (size := policy.contexts.candidates.shape[1]):
        raise InputError(
            f"lists have {log.k} positions, but {policy.name} chooses among {size} items a user", file=log.file,
            column="position", remedy="judge it on lists that it can make",
        )  # fmt: skip
    place = pl.col("user").replace_strict(policy.rows, return_dtype=pl.Int64)
    users = log.users().with_columns(row=place).sort("row")
    items = pl.LazyFrame({"item": policy.items[1:], "number": np.arange(1, len(policy.items))})
    generator = seeded(seed, "targets")
    for batch in batches(users):
        chosen = batch.select("user", context=pl.int_range(pl.len())).lazy()
        rows = log.rows.join(chosen, on="user").join(items, on="item", how="left").sort("context", "event").collect()
        found = policy.shown(
            batch["row"].to_torch(), log.k, prefixes, generator, rows["context"].to_torch(),
            rows["number"].fill_null(-1).to_torch(), rows["place"].to_torch(),
        )  # fmt: skip
        numbers = {
            name: pl.lit(None, pl.Float64) if value is None else pl.Series(value.squeeze(1).double().numpy())
            for name, value in (
                ("target_probability", found.probability),
                ("q_hat", found.q_hat),
                ("q_hat_target", found.q_hat_target),
            )
        }
        yield rows.select("event", target_policy=pl.lit(policy.name), **numbers)


def batches(users: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Users in turn, as many as hold `BATCH_ROWS` rows, at least one and at most `BATCH_USERS`."""
    ends = users["len"].cum_sum().to_numpy()
    start = 0
    while start < len(users):
        before = ends[start - 1] if start else 0
        fitting = int(np.searchsorted(ends, before + BATCH_ROWS, side="right"))
        stop = max(start + 1, min(fitting, start + BATCH_USERS))
        yield users[start:stop]
        start = stop
