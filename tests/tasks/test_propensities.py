"""What the model of propensities may learn from: nothing that is held out, by whichever rule; a leak stops the run."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from tasks import propensities
from tasks.database import BrokenCheckError
from tasks.sources.obtain import own_logs
from tasks.views import ViewSettings
from tasks.warehouse import ingest

START = 1_700_000_000
SLATES = """
[[source]]
files = "log.csv"
reward_at_least = 1
columns = { user = "u", item = "i", request = "r", time = "t", value = "v" }
time = { unit = "s" }
"""
EVENTS = """
[[source]]
files = "seen.csv"
behaviour = "click"
columns = { user = "u", item = "i", time = "t" }
time = { unit = "s" }
"""
RULES = {
    "latest": SLATES,
    "world": SLATES + EVENTS,
    "global_time": SLATES + EVENTS + '[[splits]]\nprotocol = "global_time"\n',
}


def corpus(folder: Path, mapping: str, model: str = "frequency", late_item: str = "i1") -> Path:
    """Three users with forty events and forty slates each, in turns; from the 96th slate on there is `late_item`."""
    folder.mkdir()
    shown = [f"u{n % 3},{f'i{n % 4}' if n < 96 else late_item},r{n},{START + n},1" for n in range(120)]
    (folder / "log.csv").write_text("\n".join(["u,i,r,t,v", *shown]) + "\n")
    seen = [f"u{n % 3},i{n % 4},{START + n}" for n in range(120)]
    (folder / "seen.csv").write_text("\n".join(["u,i,t", *seen]) + "\n")
    file = folder / "own.toml"
    file.write_text(mapping + f'[propensities]\nmodel = "{model}"\n')
    source = own_logs(file)
    return Path(ingest(source, folder / "out", view=ViewSettings.of(source)).uri)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("model", ["frequency", "logistic"])
def test_each_rule_is_told_and_later_slates_teach_nothing(tmp_path, rule, model):
    one, other = (corpus(tmp_path / item, RULES[rule], model, item) for item in ("i1", "i2"))
    told = json.loads((one / "corpus.json").read_text())["propensities"]
    until = datetime.fromtimestamp(START + 96, UTC).isoformat()
    assert (told["model"], told["held_out"]) == (model, rule)
    assert told["fitted_until"] == (None if rule == "world" else until)
    assert told["learned_rows"] == 96
    assert told["log_loss"] > 0
    assert told["log_loss_held_out"] > 0
    assert sum(row["shown"] for row in told["reliability"]) == told["rows"]["estimated"] == 120
    before = [pl.read_parquet(place / "logged_slates.parquet").sort("at").head(96) for place in (one, other)]
    assert before[0]["propensity"].equals(before[1]["propensity"])


@pytest.mark.parametrize("rule", RULES)
def test_a_held_out_slate_that_is_learned_from_stops_the_run(tmp_path, rule, monkeypatch):
    monkeypatch.setattr(propensities.Boundary, "inside", lambda _, slates, __: slates)
    with pytest.raises(BrokenCheckError, match="leaked_slates"):
        corpus(tmp_path / "leak", RULES[rule])
    assert not list((tmp_path / "leak" / "out" / "views").glob("g*"))
