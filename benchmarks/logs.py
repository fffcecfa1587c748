"""Large logs as a shop would write them: `python -m benchmarks.logs --rows 10_000_000 --out log.csv`.

Users come in sessions, items are Zipf, most events are views, some rows are exact copies, and a known number of rows is
dirty in known ways: what ingestion must find is printed as JSON. The same seed writes the same file.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

HEADER = "user_id,item_id,event,timestamp,value"
START = 1_700_000_000  # 2023-11-14
EVENTS_OF_A_SESSION = 10
DIRT = {
    "timestamp in words": "user_id || ',' || item_id || ',' || event || ',yesterday,'",
    "milliseconds": "user_id || ',' || item_id || ',' || event || ',' || seconds || '000,'",
    "no user": "',' || item_id || ',' || event || ',' || seconds || ','",
    "unknown event": "user_id || ',' || item_id || ',teleport,' || seconds || ','",
    "value in words": "user_id || ',' || item_id || ',' || event || ',' || seconds || ',nan'",
    "a field less": "user_id || ',' || item_id || ',' || event || ',' || seconds",
    "a field more": "user_id || ',' || item_id || ',' || event || ',' || seconds || ',1,2'",
}
"""Kinds of rejected rows, as lines; each is as frequent as the others."""
LOG = """
select
    'u' || user_number as user_id,
    'i' || least({items}, floor(exp(item_uniform * ln({items} + 1))))::bigint as item_id,
    case when act < 0.85 then 'view' when act < 0.95 then 'cart' else 'purchase' end as event,
    seconds,
    case when act >= 0.95 then (hash(row_number * 5 + {seed}) % 500 / 100)::varchar else '' end as value,
    dirt
from (
    select
        i as row_number,
        -- many small users and few busy ones; the ten events of a session are its user's
        floor({users} * power((hash(i // {session} + {seed}) % 1000003 + 1) / 1000004.0, 2))::bigint + 1 as user_number,
        (hash(i * 3 + {seed}) % 1000003 + 1) / 1000004.0 as item_uniform,
        (hash(i * 7 + {seed}) % 1000003) / 1000003.0 as act,
        -- sessions begin one after the other, their events follow each other by seconds
        (
            {start} + (i // {session}) * {session} * {span} // {rows}
            + (i % {session}) * (5 + hash(i // {session}) % 40)
        )::bigint as seconds,
        case when hash(i * 11 + {seed}) % 1000000 < {dirty} then (hash(i * 13 + {seed}) % {kinds})::integer end as dirt
    from (
        -- one row in a thousand is a copy of the one before it
        select case when hash(r * 17 + {seed}) % 1000 = 0 then greatest(r - 1, 0) else r end as i
        from range({rows}) as t(r)
    )
)
"""


def write(out: Path, rows: int, *, dirty: float = 0.001, seed: int = 1, days: int = 7) -> dict[str, int]:
    """Write the log; return how many rows it has and how many of each dirty kind."""
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB"})
    log = LOG.format(
        users=max(10, rows // 20), items=max(10, min(200_000, rows // 20)), session=EVENTS_OF_A_SESSION, seed=seed,
        start=START, span=days * 86_400, rows=rows, dirty=round(dirty * 1_000_000), kinds=len(DIRT),
    )  # fmt: skip
    lines = " ".join(f"when {place} then {line}" for place, line in enumerate(DIRT.values()))
    clean = "user_id || ',' || item_id || ',' || event || ',' || seconds || ',' || value"
    connection.execute(
        f"copy (select case dirt {lines} else {clean} end as line from ({log})) to $out "
        "(format csv, header false, quote '', delimiter '\x01')",
        {"out": str(out)},
    )
    whole = out.with_name(f"{out.name}.part")
    out.rename(whole)
    with out.open("wb") as target, whole.open("rb") as body:
        target.write(f"{HEADER}\n".encode())
        while chunk := body.read(1 << 24):
            target.write(chunk)
    whole.unlink()
    counts = dict(
        connection.execute(f"select dirt, count(*) from ({log}) where dirt is not null group by dirt").fetchall()
    )
    return {"rows": rows, **{name: counts.get(place, 0) for place, name in enumerate(DIRT)}}


def main(words: Sequence[str] | None = None) -> None:
    """Write a log and print what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=lambda text: int(text.replace("_", "")), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dirty", type=float, default=0.001, help="share of rows that ingestion must reject")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=7)
    told = parser.parse_args(words)
    print(json.dumps(write(told.out, told.rows, dirty=told.dirty, seed=told.seed, days=told.days), indent=1))


if __name__ == "__main__":
    main()
