"""The database: bounded, spilling, and plain about a full disk and a broken check."""

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlrec.errors import InputError
from tasks import queries
from tasks.database import BrokenCheckError, assure, connect, rows_of, run


def vocabulary_file(folder, ids):
    """A vocabulary of users with these ids."""
    rows = {"kind": ["user"] * len(ids), "external": [str(i) for i in range(len(ids))], "id": ids}
    pq.write_table(pa.table(rows), folder / "vocabulary.parquet")
    return folder / "vocabulary.parquet"


def test_a_query_becomes_parquet(tmp_path):
    query = queries.DenseIds(vocabulary=vocabulary_file(tmp_path, [1, 3]))
    with connect(tmp_path) as connection:
        assert run(query, tmp_path / "out.parquet", connection) == 1
        (row,) = rows_of(query, connection, 5)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == [row]
    assert row == {"kind": "user", "lowest": 1, "highest": 3, "ids": 2}


def test_a_check_that_selects_rows_is_broken(tmp_path):
    with connect(tmp_path) as connection:
        assure(queries.DenseIds(vocabulary=vocabulary_file(tmp_path, [2, 1])), connection)
        with pytest.raises(BrokenCheckError, match=r"checks/dense_ids.sql.*'ids': 2"):
            assure(queries.DenseIds(vocabulary=vocabulary_file(tmp_path, [1, 3])), connection)


def test_a_full_disk_is_an_input_error(tmp_path, small_disk):
    draw = np.random.default_rng(0)
    names = [draw.bytes(16).hex() for _ in range(200_000)]
    columns = {"kind": ["user"] * len(names), "external": names, "id": range(len(names))}
    pq.write_table(pa.table(columns), tmp_path / "names.parquet")
    query = queries.Vocabulary(base=(str(tmp_path / "names.parquet"),))
    with connect(tmp_path) as connection, pytest.raises(InputError, match="no space left"):
        run(query, small_disk / "vocabulary.parquet", connection)


def test_other_faults_stay_what_they_are(tmp_path):
    with connect(tmp_path) as connection, pytest.raises(duckdb.IOException, match="No files found"):
        run(queries.DenseIds(vocabulary=tmp_path / "absent.parquet"), tmp_path / "out.parquet", connection)


def test_memory_is_bounded_and_spills_where_it_is_told(tmp_path):
    with connect(tmp_path) as connection:
        settings = dict(
            connection.execute(
                "select name, value from duckdb_settings() where name in ('max_memory', 'temp_directory')"
            ).fetchall()
        )
    assert settings["temp_directory"] == str(tmp_path / "spill")
    assert settings["max_memory"] == "953.6 MiB"  # 1 GB
