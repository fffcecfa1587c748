"""What is said of propensities: the shares of each source, the model only where something was estimated."""

import polars as pl

from tasks.provenance import propensities_of, propensity_sentence, version_sentence

TOLD = {
    "model": "logistic", "learned_rows": 80, "held_out": "world", "fitted_until": None, "log_loss": 1.5,
    "log_loss_held_out": None, "log_loss_frequency": 1.75, "calibration_error": 0.25,
}  # fmt: skip


def test_shares_and_model_are_told():
    said = propensity_sentence({**TOLD, "rows": {"logged": 50, "estimated": 25, "missing": 25}})
    assert "of 100 shown items, the propensity is recorded for 50.0 %, estimated for 25.0 %, missing for 25.0 %" in said
    assert "“logistic” learned from 80 rows: log-loss 1.500 nats a row (1.750 by frequency)" in said
    said = propensity_sentence({**TOLD, "rows": {"simulated": 7}})
    assert said == "of 7 shown items, the propensity is recorded for all, estimated for none, missing for none."
    assert propensity_sentence(None) == "no shown slates, so no propensities."


def test_a_log_outside_a_corpus_does_not_know_its_model(tmp_path):
    file = tmp_path / "log.parquet"
    pl.DataFrame({"propensity_source": ["estimated", "logged", None]}).write_parquet(file)
    told = propensities_of(file)
    assert told == {"rows": {"estimated": 1, "logged": 2}}
    assert "Which model estimated them is not said" in propensity_sentence(told)


def test_the_version_names_generation_view_filters_and_splits():
    view = {"filters": [{"filter": "k_core", "users": 5, "rounds": None}], "splits": [{"protocol": "global_time"}]}
    said = version_sentence({"generation": 3, "view": view, "positive_from": 4.0}, "g00003-abc", "f" * 64)
    assert "Generation 3, view g00003-abc, SHA-256 ffffffffffff." in said
    assert "Filters: k core (users 5). Splits: world, global time." in said
