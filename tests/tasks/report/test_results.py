"""The contract of the results folder: what does not keep to it is named, and no headline outgrows its interval."""

import json
from pathlib import Path

import polars as pl
import pytest

from rlrec.errors import InputError
from tasks.report.results import Results, read_results, representative


def rewrite(folder: Path, name: str, *columns: pl.Expr, **named: pl.Expr) -> None:
    file = folder / f"{name}.parquet"
    pl.read_parquet(file).with_columns(*columns, **named).write_parquet(file)


def edit(folder: Path, **keys: object) -> None:
    file = folder / "summary.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


@pytest.mark.parametrize("name", ["summary.json", "heldout.parquet"])
def test_a_required_file_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError) as fault:
        read_results(folder)
    assert str(folder / name) in str(fault.value)
    assert fault.value.remedy


@pytest.mark.parametrize("name", ["heldout", "paired", "truth", "estimates", "curve", "training"])
def test_a_required_column_is_missing(folder: Path, name: str) -> None:
    file = folder / f"{name}.parquet"
    column = "difference" if name == "paired" else "value"
    pl.read_parquet(file).drop(column).write_parquet(file)
    with pytest.raises(InputError) as fault:
        read_results(folder)
    assert fault.value.column == column
    assert fault.value.file == str(file)


@pytest.mark.parametrize(
    ("name", "column", "word"),
    [
        ("paired", "half", "third"),
        ("truth", "kind", "lucky"),
        ("estimates", "verdict", "fine"),
        ("training", "stage", "x"),
    ],
)
def test_an_unknown_word(folder: Path, name: str, column: str, word: str) -> None:
    first = pl.int_range(pl.len()) == 0
    rewrite(folder, name, pl.when(first).then(pl.lit(word)).otherwise(column).alias(column))
    with pytest.raises(InputError, match=f"unknown {column} '{word}'"):
        read_results(folder)


def test_swapped_ends(folder: Path) -> None:
    rewrite(folder, "heldout", low=pl.col("high"), high=pl.col("low"))
    with pytest.raises(InputError, match="ends before it begins"):
        read_results(folder)


def test_one_policy_with_two_descriptions(folder: Path) -> None:
    rewrite(folder, "truth", fitted_on=pl.lit("elsewhere"))
    with pytest.raises(InputError, match="two descriptions"):
        read_results(folder)


@pytest.mark.parametrize(("low", "high"), [(-0.01, 0.1), (None, None), (0.0, 0.1)])
def test_a_headline_may_not_claim_more_than_its_interval(folder: Path, low: float | None, high: float | None) -> None:
    headline = {"policy": "grpo", "reference": "ease_clicks", "metric": "value", "difference": 0.05}
    edit(folder, headline=headline | {"low": low, "high": high, "beats": True})
    with pytest.raises(InputError, match="does not lie above zero"):
        read_results(folder)
    edit(folder, headline=headline | {"low": low, "high": high, "beats": None})
    assert read_results(folder).summary.headline


@pytest.mark.parametrize("text", ["", "{", "[]", '{"dataset": 3}'])
def test_a_broken_summary(folder: Path, text: str) -> None:
    (folder / "summary.json").write_text(text)
    with pytest.raises(InputError) as fault:
        read_results(folder)
    assert "summary.json" in str(fault.value)


def test_narrow_types_nan_and_untyped_columns_are_read(folder: Path) -> None:
    rewrite(
        folder, "heldout", pl.col("seed").cast(pl.Int32), pl.col("value").cast(pl.Float32), low=pl.lit(float("nan"))
    )
    rewrite(folder, "estimates", failed_rules=pl.lit([], dtype=pl.List(pl.Null)), true_value=pl.lit(None))
    results = read_results(folder)
    assert results.heldout.schema["value"] == pl.Float64
    assert results.heldout["low"].null_count() == len(results.heldout)
    assert results.estimates.schema["failed_rules"] == pl.List(pl.String)


def test_representative_rows() -> None:
    frame = pl.DataFrame({"policy": ["a", "a", "b", "b"], "seed": [0, None, 2, 1], "value": [1.0, 2.0, 3.0, 4.0]})
    assert representative(frame, "policy")["value"].to_list() == [2.0, 4.0]


def test_names_say_what_a_policy_was_fitted_on_only_where_needed(results: Results) -> None:
    assert results.name("ease_clicks") == "EASE (train + clicks)"
    assert results.name("grpo") == "Stage B (GRPO)"
    assert results.name("unheard_of") == "unheard_of"
