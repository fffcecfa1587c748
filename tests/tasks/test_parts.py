"""Parts: rows whose names are numbers come back as they were, whatever the parts and buckets they lie in."""

from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.database import BrokenCheckError, connect
from tasks.parts import NAMED, Keys, bucket_rows, days_in, number, parts_in, write_part
from tasks.staging import PLACED, STAGED

TABLE = "events"
names = st.text(alphabet="ab/\\é7", min_size=1, max_size=3)
events = st.tuples(names, names, st.none() | names, st.integers(0, 5) | st.none())


def staged(rows: list[tuple], first_line: int = 1) -> pa.Table:
    """Accepted events of user, item, session and time."""
    frame = pl.DataFrame(
        [(user, item, session, "view", None, at) for user, item, session, at in rows],
        schema=["user_external", "item_external", "session_external", "behaviour", "value", "moment"],
        orient="row",
    ).with_columns(line=pl.int_range(first_line, first_line + len(rows)), feed=2, place=0)
    frame = frame.with_columns(
        pl.from_epoch(pl.col("moment").cast(pl.Int64), time_unit="s").dt.replace_time_zone("UTC")
    )
    schema = pa.schema(list((STAGED[TABLE] | PLACED).items()))
    return frame.to_arrow().select(schema.names).cast(schema)


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """One database for all."""
    with connect(tmp_path_factory.mktemp("database")) as opened:
        yield opened


def numbered(folder: Path, keys: Keys) -> dict[str, pl.DataFrame]:
    """Give every name its rank as id; the names of each kind by id."""
    found: dict[str, pl.DataFrame] = {}
    for kind, size in keys.taken.items():
        written = pl.concat(pl.read_parquet(file) for file in (folder / "names" / kind).glob("*.parquet"))
        ranked = written.with_columns(id=pl.col("external").rank("dense").cast(pl.Int32))
        number(ranked.select("key", "id").to_arrow().to_reader(), size, folder / "ids" / kind)
        found[kind] = ranked.select("id", "external").unique()
    return found


def read(folder: Path, buckets: int, keys: Keys) -> list[pl.DataFrame]:
    """The rows of each bucket, with names in place of ids."""
    known = numbered(folder, keys)
    ids = {kind: folder / "ids" / kind for kind in NAMED[TABLE]}
    parts = parts_in([str(folder)])
    found: list[pl.DataFrame] = []
    for bucket in range(buckets):
        rows = pl.DataFrame(bucket_rows(parts, bucket, TABLE, ids).read_all())
        for kind, frame in known.items():
            named = frame.select(
                pl.col("id").cast(rows.schema[kind]).alias(kind), pl.col("external").alias(f"{kind}_name")
            )
            rows = rows.join(named, on=kind, how="left")
        found.append(rows)
    return found


def escaped(name: str) -> str:
    """A user's name before a slash."""
    return name.replace("\\", "\\\\").replace("/", "\\/")


@settings(max_examples=30, deadline=None)
@given(
    parts=st.lists(st.lists(events, min_size=1, max_size=12), min_size=1, max_size=3), buckets=st.sampled_from([1, 4])
)
def test_rows_come_back_as_they_were_whatever_the_parts_and_buckets(parts, buckets, connection, tmp_path_factory):
    folder, keys, line = tmp_path_factory.mktemp("parts"), Keys(), 1
    for rows in parts:
        write_part(TABLE, staged(rows, line), folder, f"{line:06d}", buckets, keys, connection)
        line += len(rows)
    by_bucket = read(folder, buckets, keys)
    found = pl.concat(by_bucket)
    flat = [row for rows in parts for row in rows]
    sessions = [None if s is None else escaped(u) if s == u else f"{escaped(u)}/{s}" for u, _, s, _ in flat]
    expected = [(u, i, s, at) for (u, i, _, at), s in zip(flat, sessions, strict=True)]
    told = found.select("user_name", "item_name", "session_name", pl.col("moment").dt.epoch("s")).rows()
    assert sorted(told, key=repr) == sorted(expected, key=repr)
    users = [set(rows["user_name"]) for rows in by_bucket]
    assert sum(map(len, users)) == len(set().union(*users))  # a user lies in one bucket
    untimed = found.filter(pl.col("moment").is_null())["place"]
    assert untimed.n_unique() == len(untimed) == found["place"].count()  # only rows without a time need their place


def test_the_days_of_parts_are_those_of_their_timed_rows(connection, tmp_path):
    day = 86_400
    for stem, times in (("1", [0, day - 1, None]), ("2", [3 * day, None])):
        rows = [(f"u{n}", "i", None, at) for n, at in enumerate(times)]
        write_part(TABLE, staged(rows), tmp_path, stem, 4, Keys(), connection)
    assert days_in(parts_in([str(tmp_path)])) == {date(1970, 1, 1), date(1970, 1, 4)}


def test_sessions_of_two_users_have_two_names(connection, tmp_path):
    keys = Keys()
    write_part(TABLE, staged([("a", "i", "b/c", 1), ("a/b", "i", "c", 1)]), tmp_path, "1", 1, keys, connection)
    assert numbered(tmp_path, keys)["session"]["external"].n_unique() == 2


def test_a_name_without_an_id_breaks_a_check(connection, tmp_path):
    keys = Keys()
    write_part(TABLE, staged([("a", "i", None, 1), ("b", "i", None, 2)]), tmp_path, "1", 1, keys, connection)
    numbered(tmp_path, keys)
    number(pa.RecordBatchReader.from_batches(pa.schema([]), []), 2, tmp_path / "ids" / "user")
    ids = {kind: tmp_path / "ids" / kind for kind in NAMED[TABLE]}
    with pytest.raises(BrokenCheckError, match="2 rows have a name without an id"):
        bucket_rows([tmp_path / "1.arrow"], 0, TABLE, ids).read_all()


@pytest.mark.parametrize("row", [(None, "i", None, 1), ("u", None, None, 1)], ids=["user", "item"])
def test_an_accepted_row_without_a_name_breaks_a_check(connection, tmp_path, row):
    with pytest.raises(BrokenCheckError, match="1 accepted rows lack their"):
        write_part(TABLE, staged([("u", "i", None, 1), row]), tmp_path, "1", 1, Keys(), connection)
