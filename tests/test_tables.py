"""`check` refuses what a table does not promise, and says what to change."""

import polars as pl
import pytest

from rlrec.errors import InputError
from rlrec.tables import ITEMS, LOGGED_SLATES, SPLITS, TABLES, check

SPLIT_ROWS = pl.DataFrame(
    {"event": [1, 2], "split": ["train", "test"], "protocol": ["world", "world"]}, schema=SPLITS.schema
)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_an_empty_table_of_the_schema_passes(table):
    check(pl.DataFrame(schema=table.schema), table)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_keys_and_nullable_columns_exist(table):
    assert set(table.key) | table.nullable <= set(table.columns)
    assert not set(table.optional) & set(table.columns)


def test_a_good_table_passes_eager_and_lazy():
    check(SPLIT_ROWS, SPLITS)
    check(SPLIT_ROWS.lazy(), SPLITS)


@pytest.mark.parametrize(
    ("frame", "column", "rows", "words"),
    [
        (SPLIT_ROWS.drop("split"), "split", None, "missing"),
        (SPLIT_ROWS.cast({"event": pl.Int32}), "event", None, "type Int32"),
        (SPLIT_ROWS.with_columns(split=pl.lit(None, pl.String)), "split", 2, "empty values"),
        (SPLIT_ROWS.with_columns(event=pl.lit(1, pl.Int64)), "event", 2, "repeat the key"),
    ],
    ids=["missing column", "type", "nulls", "key"],
)
def test_a_bad_table_is_refused(frame, column, rows, words):
    with pytest.raises(InputError, match=words) as refusal:
        check(frame, SPLITS, file="splits.parquet")
    assert (refusal.value.column, refusal.value.rows, refusal.value.file) == (column, rows, "splits.parquet")
    assert refusal.value.remedy


def test_nullable_columns_may_be_empty():
    check(pl.DataFrame({"item": [1], "title": [None], "year": [None], "categories": [[]]}, schema=ITEMS.schema), ITEMS)


def test_an_optional_column_has_its_type_when_it_is_there():
    rows = pl.DataFrame(schema=LOGGED_SLATES.schema | {"seed": pl.String()})
    with pytest.raises(InputError, match="type String") as refusal:
        check(rows, LOGGED_SLATES)
    assert refusal.value.column == "seed"


def test_an_input_error_names_everything_in_a_few_lines():
    lines = str(InputError("wrong", file="a.csv", column="at", rows=1234, remedy="mend it")).splitlines()
    assert lines == ["wrong", "  file:   a.csv", "  column: at", "  rows:   1,234", "  remedy: mend it"]
