"""Stats of a Parquet log that may be larger than memory: DuckDB reads it once, and once more to count its requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl
from duckdb import ColumnExpression, ConstantExpression

from rlrec.errors import InputError
from rlrec.ope.codes import SAMPLING
from rlrec.ope.diagnostics import SMALLEST_TAIL, tail_shape, tail_size
from rlrec.ope.rounds import LARGEST
from rlrec.ope.segments import MOST_SEGMENTS, require_few
from rlrec.ope.statistics import (
    BENT_SUMS,
    BUCKETS,
    BUCKETS_PER_OCTAVE,
    FIRST_OCTAVE,
    NOTHING_PREDICTED,
    SHARDS,
    SUMS,
    Stats,
)
from rlrec.ope.transforms import Transform
from rlrec.ope.validation import reward_flags
from rlrec.tables import spelled
from tasks.database import connect, rows_of, run
from tasks.feedback import Unit, chosen_column, roles
from tasks.queries import (
    OpeBent,
    OpeCells,
    OpeHeaviest,
    OpeJoined,
    OpePolicies,
    OpeRepeatedEvents,
    OpeRequests,
    OpeRising,
    OpeSegmentNames,
    OpeSegmentRequests,
    OpeSegments,
    OpeShown,
    OpeUnfitRows,
    Query,
)

OPTIONAL = {
    "target_policy": pl.String(),
    "q_hat": pl.Float64(),
    "q_hat_target": pl.Float64(),
    "propensity_kind": pl.String(),
    "propensity_source": pl.String(),
}
SHOWN_EVENTS = 5


def optional_columns(scratch: Path) -> Path:
    """A Parquet file of no rows, with the columns that a log or targets may lack: read beside it, they become null."""
    file = scratch / "optional.parquet"
    pl.DataFrame(schema=OPTIONAL).write_parquet(file)
    return file


def parts(place: Path) -> Path:
    """A file, or all Parquet files of a folder, day partitions included."""
    return place / "**" / "*.parquet" if place.is_dir() else place


@dataclass(frozen=True)
class Files:
    """Reads Parquet by our names of the columns; `optional` gives those that may be missing, as `roles` the others."""

    optional: Path
    connection: duckdb.DuckDBPyConnection
    unit: Unit = "request"
    cluster: str | None = None
    by: str | None = None

    def name(self, place: Path, relation: str, *, is_log: bool = True) -> None:
        """Let statements read a file or folder as `relation`."""
        names = self.connection.read_parquet(str(parts(place)), union_by_name=True).columns
        found = spelled(names, file=place)
        if is_log and (sampled := [name for name in SAMPLING if name in found]):
            raise InputError(
                "OPE015 one pass knows no rows that were sampled",
                file=place,
                column=", ".join(sampled),
                remedy="take the log into memory: --in-memory",
            )
        wide = self.connection.read_parquet([str(parts(place)), str(self.optional)], union_by_name=True)
        columns = {ours: ColumnExpression(found.get(ours, ours)) for ours in (*found, *OPTIONAL)}
        if is_log:
            for role, column in roles(list(found), self.unit, self.cluster, file=place).items():
                columns[role] = ConstantExpression(1) if column is None else ColumnExpression(found[column])
            if self.by is not None:
                own = chosen_column(self.by, list(found), file=place)
                columns["segment"] = ColumnExpression(found[own]).cast("VARCHAR")
            else:
                columns["segment"] = ConstantExpression(None)
        wide.select(*(column.alias(ours) for ours, column in columns.items())).create_view(relation)


def joined(policy: str, scratch: Path, connection: duckdb.DuckDBPyConnection) -> Path:
    """The log beside the targets of one policy, as a Parquet file."""
    file = scratch / "joined.parquet"
    run(OpeJoined(target_policy=policy), file, connection)
    return file


def stats_of_parquet(
    log: Path,
    policy: str,
    optional: Path,
    connection: duckdb.DuckDBPyConnection,
    *,
    unit: Unit = "request",
    cluster: str | None = None,
    reward_range: tuple[float, float] | None = None,
    positions: Sequence[int] | None = None,
    transforms: Sequence[Transform] = (),
    by: str | None = None,
    file: object = None,
) -> Stats:
    """The sums of a log that also holds a target policy's columns. `positions` are those met, unless more may come.

    `transforms` of the weights, named, have sums too, by one more scan.

    By `unit` row, each row is a request of its own. `cluster` names the column that is read as the user, `by` the one
    that `parts_of_log` then reads.

    Raises:
        InputError: rows that cannot be evaluated, with codes, columns, counts and the first five events.
    """
    file = file or log
    low, high = reward_range or (-LARGEST, LARGEST)
    Files(optional, connection, unit, cluster, by).name(log, "feedback")
    shown = OpeShown(target_policy=policy, shards=SHARDS)
    connection.sql(shown.text, params=shown.parameters).create_view("shown")
    found = columns_of(
        OpeCells(
            buckets=BUCKETS,
            per_octave=BUCKETS_PER_OCTAVE,
            first_octave=FIRST_OCTAVE,
            reward_min=low,
            reward_max=high,
        ),
        connection,
    )
    if not len(found["rows"]):
        raise InputError("the log has no rows", file=file, remedy="hand over a log with at least one shown item")
    if found["unfit"].sum():
        refuse(OpeUnfitRows(reward_min=low, reward_max=high), connection, file)
    count, predicted = int(found["rows"].sum()), int(found["predicted"].sum())
    are_numbers = all(np.isfinite(found[name]).all() for name in ("direct", "prediction"))
    if 0 < predicted < count or not (predicted or are_numbers):
        raise InputError(
            "OPE024 predictions are missing",
            file=file,
            column="q_hat, q_hat_target",
            rows=count - predicted,
            remedy="predict every row, or none",
        )
    places = np.unique(found["position"] if positions is None else np.asarray(positions))
    if len(places) > 1 and (whole := int(found["whole"].sum())):
        raise InputError(
            "OPE009 propensities are of whole slates, but positions are weighed by their own",
            file=file,
            column="propensity_kind",
            rows=whole,
            remedy="log item_position propensities",
        )
    stats = Stats.empty(len(places), transforms, has_model=predicted > 0)
    place = np.searchsorted(places, found["position"])
    stats.cells[found["shard"], place, found["bucket"]] = np.column_stack([found[name] for name in SUMS])
    if transforms:
        bent = columns_of(
            OpeBent(
                families=tuple(one.family for one in transforms),
                lambdas=tuple(repr(one.parameter) for one in transforms),
            ),
            connection,
        )
        sums = np.column_stack([bent[name] for name in BENT_SUMS])
        place = np.searchsorted(places, bent["position"])
        for one in transforms:
            rows = (bent["family"] == one.family) & (bent["parameter"] == one.parameter)
            stats.bent[one][bent["shard"][rows], place[rows]] = sums[rows]
    requests = requests_of(connection, file)
    stats.requests[requests["shard"]] = requests["requests"]
    size = tail_size(count)
    heaviest = columns_of(OpeHeaviest(heaviest=size + 1), connection)["weight"]
    stats = replace(
        stats,
        max_weight=float(found["max_weight"].max()),
        estimated_rows=int(found["estimated"].sum()),
        predicted=(float(found["least"].min()), float(found["greatest"].max())) if predicted else NOTHING_PREDICTED,
        k_hat=tail_shape(heaviest[::-1]) if SMALLEST_TAIL <= size < count else np.nan,
    )
    return stats.by_row() if unit == "row" else stats


def parts_of_log(
    whole: Stats, connection: duckdb.DuckDBPyConnection, unit: Unit, by: str, file: object
) -> dict[str, Stats]:
    """The sums of each part of the log that `whole` was made from: one bucket holds all weights.

    Raises:
        InputError: too many parts, rows without one, or requests that belong to several.
    """
    positions = whole.cells.shape[1]
    require_few(len(rows_of(OpeSegmentNames(), connection, MOST_SEGMENTS + 1)), positions)
    found = columns_of(OpeSegments(by_row=unit == "row"), connection)
    lacking = np.array([name is None for name in found["segment"].tolist()], dtype=bool)
    if missing := int(found["rows"][lacking].sum()):
        raise InputError(
            "rows without a segment", file=file, column=by, rows=missing, remedy="fill the column, or name such rows"
        )
    requests = found | {"requests": found["rows"]}
    if positions > 1:
        requests = columns_of(OpeSegmentRequests(), connection)
        if wrong := int(requests["several_segments"].sum()):
            raise InputError(
                "requests belong to several segments", file=file, column=by, rows=wrong, remedy="one value per request"
            )
    place = np.searchsorted(np.unique(found["position"]), found["position"])
    sums = np.column_stack([found[name] for name in SUMS])
    parts: dict[str, Stats] = {}
    for name in np.unique(found["segment"]).tolist():
        cells, counts = np.zeros((SHARDS, positions, 1, len(SUMS))), np.zeros(SHARDS)
        rows, own = found["segment"] == name, requests["segment"] == name
        cells[found["shard"][rows], place[rows], 0] = sums[rows]
        counts[requests["shard"][own]] = requests["requests"][own]
        parts[name] = Stats(counts, cells, whole.max_weight, whole.has_model)
    return parts


def requests_of(connection: duckdb.DuckDBPyConnection, file: object) -> dict[str, np.ndarray]:
    """Requests by shard. A log in order proves itself free of repetitions; any other is grouped, which takes memory."""
    rising = columns_of(OpeRising(), connection)
    if rising["chains"].sum() == 1 and not rising["falls"].sum():
        return rising
    if repeated := rows_of(OpeRepeatedEvents(), connection, SHOWN_EVENTS):
        named = ", ".join(str(row["event"]) for row in repeated)
        raise InputError(
            f"OPE001, OPE021 an event has several rows, first events {named}",
            file=file,
            column="event",
            rows=sum(row["rows"] for row in repeated),
            remedy="keep one row per event and policy",
        )
    requests = columns_of(OpeRequests(), connection)
    for column, code, says, remedy in (
        ("several_users", "OPE002", "requests have several users", "a request belongs to one user"),
        ("repeated_positions", "OPE004", "requests repeat a position", "one row per request and position"),
    ):
        if wrong := int(requests[column].sum()):
            raise InputError(f"{code} {says}", file=file, column="request", rows=wrong, remedy=remedy)
    return requests


def stats_by_policy(
    logs: Path,
    targets: Path | None,
    memory_limit: str,
    *,
    unit: Unit = "request",
    cluster: str | None = None,
    reward_range: tuple[float, float] | None = None,
    transforms: Sequence[Transform] = (),
    by: str | None = None,
) -> Iterator[tuple[str, Stats, dict[str, Stats]]]:
    """Each target policy, its sums, and those of each part of the log by the column `by`.

    A log apart from its targets is joined on disk first, policy by policy.

    Raises:
        InputError: files that are not Parquet, columns that are missing, rows that cannot be evaluated.
    """
    with TemporaryDirectory(prefix="rlrec-ope-") as folder, connect(Path(folder), memory_limit) as connection:
        scratch = Path(folder)
        optional = optional_columns(scratch)
        place = ", ".join(str(file) for file in (logs, targets) if file is not None)
        try:
            files = Files(optional, connection, unit, cluster, by)
            files.name(targets or logs, "targets", is_log=False)
            if targets is not None:
                files.name(logs, "log")
            for row in rows_of(OpePolicies(), connection):
                policy = row["target_policy"]
                log = logs if targets is None else joined(policy, scratch, connection)
                stats = stats_of_parquet(
                    log,
                    policy,
                    optional,
                    connection,
                    unit=unit,
                    cluster=cluster if targets is None else None,  # what was joined has it as its user
                    reward_range=reward_range,
                    transforms=transforms,
                    by=by if targets is None or by is None else "segment",
                    file=place,
                )
                yield policy, stats, {} if by is None else parts_of_log(stats, connection, unit, by, place)
        except duckdb.BinderException as fault:
            raise InputError(
                f"required columns are missing: {first_line(fault)}", file=place, remedy="docs/ope.md has both tables"
            ) from fault
        except duckdb.ConversionException as fault:
            raise InputError(
                f"a column holds no numbers: {first_line(fault)}", file=place, remedy="docs/ope.md has the types"
            ) from fault
        except (duckdb.IOException, duckdb.InvalidInputException) as fault:
            raise InputError(
                f"the files cannot be read as Parquet: {first_line(fault)}", file=place, remedy="write them again"
            ) from fault


def first_line(fault: Exception) -> str:
    """What a fault says first."""
    return str(fault).splitlines()[0]


def columns_of(query: Query, connection: duckdb.DuckDBPyConnection) -> dict[str, np.ndarray]:
    """The query's rows as columns."""
    return {
        name: np.asarray(values)
        for name, values in connection.execute(query.text, query.parameters).fetchnumpy().items()
    }


def refuse(query: OpeUnfitRows, connection: duckdb.DuckDBPyConnection, file: object) -> None:
    """Raise the error that lists every problem of the rows."""
    problems = rows_of(query, connection)
    lines: list[str] = []
    for one in problems:
        named = ", ".join(map(str, one["events"] or []))
        lines.append(f"  {one['code']} {one['column_name']}: {one['rows']:,} rows, first events {named}")
    remedy = "correct these columns; docs/ope.md has the rules"
    rewards = [one for one in problems if one["code"] == "OPE006" and one["least"] is not None]
    if rewards:
        least, greatest = rewards[0]["least"], rewards[0]["greatest"]
        remedy += f"; rewards run from {least:g} to {greatest:g}: {reward_flags(least, greatest)}"
    raise InputError(
        "\n".join(["the log cannot be evaluated:", *lines]),
        file=file,
        column=", ".join(dict.fromkeys(one["column_name"] for one in problems)),
        rows=max(one["rows"] for one in problems),
        remedy=remedy,
    )
