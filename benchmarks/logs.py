"""Large logs of a shop that never was: `python -m benchmarks.logs --rows 10_000_000 --out events.csv`.

Visits in bursts, days with busy and quiet hours, few busy users and many rare ones, Zipf items, carts and purchases of
what was just seen, exact duplicates, and dirty lines of known kinds. The same options give the same bytes (of one
DuckDB version). Every row is a function of its number, so that a log of any length is written in bounded memory: rows
are dealt in turn to as many visitors as are there at a time, and arrive late by up to a gap between their events, so
that the log is in order of time as roughly as real ones are.

What was planted is printed as JSON: `accepted`, `rejected` and `blank` are what an ingestion must find. Of `duplicates`
it may find more: in long logs a busy user comes twice at a time, and then some equal rows (5 in 10 million) are chance.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

COLUMNS = ("user_id", "item_id", "event", "timestamp", "value")
BEHAVIOURS = {"view": 0.72, "click": 0.15, "cart": 0.09, "purchase": 0.04}
START = 1_767_225_600  # 2026-01-01, UTC
DAY = 86_400
GAP_SECONDS = 30  # between two events of a visit, on average
LATEST_ARRIVAL = 0.9  # in gaps; below 1, a visit's events keep their order and never share a second
SWING = 0.8  # how much faster than average time goes at night
SHORTEST_VISIT, LONGEST_VISIT = 4, 32  # events
VISIT_TAIL = 0.6
ROWS_PER_USER, ROWS_PER_ITEM = 20, 100
USER_EXPONENT, ITEM_EXPONENT = 0.8, 1.0
LEVEL_USERS = 1_000  # in parts of all users: so many are about as busy as the busiest, which no person can outdo
GROUP = 16  # rows; of each group the last but one is clean, and the last may repeat it
DUPLICATES, DIRTY = 0.002, 0.001
THREADS, MEMORY_LIMIT = 2, "1GB"

Fate = Literal["accepted", "rejected", "blank"]


@dataclass(frozen=True)
class Kind:
    """A kind of dirty line: what an ingestion must make of it, and the line as SQL over the row's clean fields."""

    fate: Fate
    line: str


DIRT: Mapping[str, Kind] = {
    "missing field": Kind("rejected", "concat_ws(',', user, event, seconds, value)"),
    "extra field": Kind("rejected", "concat_ws(',', user, item, event, seconds, value, 'extra')"),
    "empty user": Kind("rejected", "concat_ws(',', '', item, event, seconds, value)"),
    "unknown event": Kind("rejected", "concat_ws(',', user, item, 'hover', seconds, value)"),
    "time is text": Kind("rejected", "concat_ws(',', user, item, event, 'yesterday', value)"),
    "milliseconds": Kind("rejected", "concat_ws(',', user, item, event, seconds * 1000, value)"),
    "value is NaN": Kind("rejected", "concat_ws(',', user, item, event, seconds, 'NaN')"),
    "negative value": Kind("accepted", "concat_ws(',', user, item, event, seconds, '-1.5')"),
    "quotes": Kind(
        "accepted", """concat_ws(',', user, concat('"', item, ', ""large"" one"'), event, seconds, value)"""
    ),
    "blank line": Kind("blank", "null"),
}
CLEAN_LINE = "concat(user, ',', item, ',', event, ',', seconds, ',', value)"


@dataclass(frozen=True)
class Shape:
    """What a log is like; users and items by the number of rows when absent."""

    rows: int
    seed: int = 1
    days: float = 7.0
    users: int | None = None
    items: int | None = None
    user_exponent: float = USER_EXPONENT
    item_exponent: float = ITEM_EXPONENT
    duplicates: float = DUPLICATES
    dirty: float = DIRTY

    @property
    def visitors(self) -> int:
        """How many are there at a time."""
        return max(1, round(self.rows * GAP_SECONDS / (self.days * DAY)))


@dataclass(frozen=True)
class Truth:
    """What was written: rows = accepted + rejected + blank, after one line of names."""

    rows: int
    accepted: int
    rejected: int
    blank: int
    duplicates: int
    kinds: Mapping[str, int]
    bytes: int
    seconds: float


def write_log(shape: Shape, out: Path) -> Truth:
    """Write the log; say what is in it."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as spill, duckdb.connect(config=limits(spill)) as connection:
        connection.execute(
            f"""copy ({statement(shape)}) to $out
            (format csv, header, delimiter '\x01', quote '', escape '', compression 'uncompressed')""",
            {"out": str(out)},
        )
        planted = dict(
            connection.execute(
                f"select coalesce({kind(shape)}, if({repeats(shape)}, 'duplicate', 'clean')) as kind, count(*)"
                f" from range({shape.rows}) as rows (i) group by kind"
            ).fetchall()
        )
    kinds = {name: planted.get(name, 0) for name in DIRT}
    fates = {
        fate: sum(kinds[name] for name, dirt in DIRT.items() if dirt.fate == fate) for fate in ("rejected", "blank")
    }
    return Truth(
        rows=shape.rows,
        accepted=shape.rows - sum(fates.values()),
        **fates,
        duplicates=planted.get("duplicate", 0),
        kinds=kinds,
        bytes=out.stat().st_size,
        seconds=time.perf_counter() - start,
    )


def limits(spill: str) -> dict[str, Any]:
    """The database's share of the machine."""
    return {"threads": THREADS, "memory_limit": MEMORY_LIMIT, "temp_directory": spill}


def statement(shape: Shape) -> str:
    """The log's lines, in order.

    A place of visitors is taken by one visit after another. `step` counts a place's rows, shifted so that not all
    change at once; `stay` is a span of `LONGEST_VISIT` of them, split into visits of one length.
    """
    users = shape.users or max(1, shape.rows // ROWS_PER_USER)
    items = shape.items or max(1, shape.rows // ROWS_PER_ITEM)
    turns = 2 * math.pi * shape.days
    length = f"ceil({SHORTEST_VISIT} * pow(1 - {draw(shape, 'stay', 2)}, -{VISIT_TAIL}))::bigint"
    bounds = [sum(list(BEHAVIOURS.values())[: i + 1]) for i in range(len(BEHAVIOURS) - 1)]
    events = " ".join(f"when mood < {bound} then '{name}'" for bound, name in zip(bounds, BEHAVIOURS, strict=False))
    dirty_lines = " ".join(f"when '{name}' then {dirt.line}" for name, dirt in DIRT.items())
    return f"""
with numbered as (
    select i, if({repeats(shape)}, i - 1, i) as k, {kind(shape)} as kind from range({shape.rows}) as rows (i)
),

placed as (
    select
        kind, k, k % {shape.visitors} as place, k // {shape.visitors} + k % {shape.visitors} as step,
        {draw(shape, "k", 0)} as mood,
        (k + {LATEST_ARRIVAL * shape.visitors} * {draw(shape, "k", 1)}) / {shape.rows} as share
    from numbered
),

stays as (
    select *, step // {LONGEST_VISIT} * {shape.visitors} + place as stay, step % {LONGEST_VISIT} as moment from placed
),

visits as (
    select
        *,
        stay * {LONGEST_VISIT} + moment // {length} as visit,
        if(mood >= {bounds[1]}, greatest(k - {shape.visitors}, 0), k) as seen
    from stays
),

fields as (
    select
        kind,
        'u' || {zipf(draw(shape, "visit", 3), users, shape.user_exponent, 1 + users / LEVEL_USERS)} as user,
        {zipf(draw(shape, "seen", 4), items, shape.item_exponent, 1)} as number,
        'i' || number as item,
        case {events} else 'purchase' end as event,
        {START} + ({shape.days * DAY} * (share - {SWING / turns} * sin({turns} * share)))::bigint as seconds,
        if(mood >= {bounds[1]}, round(exp(1 + 4 * {draw(shape, "number", 5)}), 2)::decimal(9, 2)::varchar, '') as value
    from visits
)

select case when kind is null then {CLEAN_LINE} else case kind {dirty_lines} end end as "{",".join(COLUMNS)}"
from fields"""


def draw(shape: Shape, key: str, stream: int) -> str:
    """A number in [0, 1) that depends on nothing but the key, the stream and the seed."""
    return f"(hash({key} * {GROUP} + {stream + (shape.seed << 40)}) / 18446744073709551616.0::double)"


def zipf(uniform: str, count: int, exponent: float, level: float) -> str:
    """A number from 1 to count; x is drawn with density proportional to (x + level)^-exponent."""
    if exponent == 1:
        scaled = f"{level} * pow({(level + count) / level}, {uniform})"
    else:
        power = 1 - exponent
        low, high = level**power, (level + count) ** power
        scaled = f"pow({low} + {high - low} * {uniform}, {1 / power})"
    return f"least(floor({scaled} - {level})::bigint + 1, {count})"


def repeats(shape: Shape) -> str:
    """Whether a row repeats the one before it."""
    return f"(i % {GROUP} = {GROUP - 1} and {draw(shape, 'i', 6)} < {shape.duplicates * GROUP})"


def kind(shape: Shape) -> str:
    """The kind of dirt of a row; null for a clean one."""
    rate = shape.dirty * GROUP / (GROUP - 2)
    names = ", ".join(f"'{name}'" for name in DIRT)
    which = f"1 + floor({draw(shape, 'i', 8)} * {len(DIRT)})::bigint"
    return f"if(i % {GROUP} < {GROUP - 2} and {draw(shape, 'i', 7)} < {rate}, [{names}][{which}], null)"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a log and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.logs", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=Shape.seed)
    parser.add_argument("--days", type=float, default=Shape.days)
    parser.add_argument("--users", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--user-exponent", type=float, default=Shape.user_exponent)
    parser.add_argument("--item-exponent", type=float, default=Shape.item_exponent)
    parser.add_argument("--duplicates", type=float, default=Shape.duplicates, help=f"share of rows, at most 1/{GROUP}")
    parser.add_argument("--dirty", type=float, default=Shape.dirty, help="share of rows")
    options = vars(parser.parse_args(arguments))
    out = options.pop("out")
    print(json.dumps(asdict(write_log(Shape(**options), out)), indent=1))


if __name__ == "__main__":
    main()
