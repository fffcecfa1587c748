"""Each policy from the other's log: published figures, what each table is made of, and what is told without beliefs."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from rlrec.corpus import Corpus
from rlrec.errors import InputError
from rlrec.tables import LOGGED_SLATES
from tasks import exchange
from tasks.artifacts import Artifact
from tasks.presets import Terms
from tasks.sources import fetch
from tasks.warehouse import ingest

pytestmark = pytest.mark.data
JUDGING = Terms(draws=1_000)
RAW_FIGURES = {"ips": 0.007438, "snips": 0.002373}  # women, BTS -> random, by Open Bandit Pipeline 0.5.7


@pytest.fixture(scope="module")
def logs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """Both logs of the women's campaign, ingested."""
    folder = tmp_path_factory.mktemp("logs")
    return {
        policy: ingest(fetch(f"open-bandit-{policy}-women", data / "open-bandit"), folder / policy)
        for policy in ("random", "bts")
    }


def row(logs: dict[str, Artifact], folder: Path, policy: str, beliefs: exchange.Beliefs | None = None) -> dict:
    """The row of a target policy."""
    logger = "random" if policy == "bts" else "bts"
    made = exchange.targets("women", policy, logs[logger], logs[policy], beliefs, JUDGING, target=folder / "targets")
    told = exchange.answer(made, JUDGING, target=folder / "answer")
    table = exchange.tabulate([told], target=folder / "table.parquet")
    assert f"women: {logger} -> {policy}" in exchange.markdown(table)
    return pl.read_parquet(table.path).row(0, named=True)


def test_a_log_without_support_has_the_published_figures_and_is_told(logs, tmp_path):
    found = row(logs, tmp_path, "random")
    assert {name: found[name] for name in RAW_FIGURES} == pytest.approx(RAW_FIGURES, abs=5e-7)
    assert (found["verdict"], found["probabilities"]) == ("no_support", "known")
    assert found["truth"] == pytest.approx(0.0046)


def test_a_log_without_a_click_has_a_table(logs, tmp_path):
    few = Terms(draws=1_000, rows=40)
    made = exchange.targets("women", "random", logs["bts"], logs["random"], None, few, target=tmp_path / "targets")
    told = exchange.answer(made, few, target=tmp_path / "answer")
    assert pl.read_parquet(told.path / exchange.LOGS)["reward"].sum() == 0
    table = exchange.tabulate([told], target=tmp_path / "table.parquet")
    assert "| – |" in exchange.markdown(table)


def test_without_beliefs_sampling_is_its_logs_shares_and_says_so(logs, tmp_path):
    found = row(logs, tmp_path, "bts")
    assert found["probabilities"] == "shares of its own log"
    own = Corpus.of(logs["bts"].path).scan(LOGGED_SLATES).collect()
    first = own.filter(pl.col("position") == 0)
    told = pl.read_parquet(tmp_path / "answer" / exchange.TARGET).join(
        pl.read_parquet(tmp_path / "answer" / exchange.LOGS), on="event"
    )
    item = first["item"].mode()[0]
    share = told.filter((pl.col("item") == item) & (pl.col("position") == 0))["target_probability"].unique().to_list()
    assert share == pytest.approx([first["item"].eq(item).mean()])
    assert found["ips"] == pytest.approx(0.00581, abs=5e-6)


def test_beliefs_of_another_campaign_are_refused(logs, tmp_path):
    with pytest.raises(InputError, match="beliefs about 2 items, and 46 in the log"):
        row(logs, tmp_path, "bts", ((1.0, 1.0), (9.0, 9.0)))


@pytest.mark.slow
def test_predictions_never_saw_the_user_and_average_over_the_policy(logs, tmp_path):
    uniform = tuple(np.ones(46)), tuple(np.ones(46))
    row(logs, tmp_path, "bts", uniform)
    told = pl.read_parquet(tmp_path / "answer" / exchange.TARGET)
    assert told["q_hat_target"].n_unique() <= 3 * JUDGING.folds  # a position, a fold
    assert told["target_probability"].is_between(0, 0.1).all()


def test_beliefs_lie_beside_the_logs(data, tmp_path):
    (tmp_path / "random" / "men").mkdir(parents=True)
    for name in ("men.csv.gz", "item_context.csv"):
        (tmp_path / "random" / "men" / name).write_bytes((data / "open-bandit" / "random" / "men" / name).read_bytes())
    source = fetch("open-bandit-random-men", tmp_path)
    assert exchange.read_beliefs(source, "men") is None
    (tmp_path / exchange.PRIORS).write_text(yaml.safe_dump({"men": {"alpha": [1, 2], "beta": [3, 4]}}))
    assert exchange.read_beliefs(source, "men") == ((1.0, 2.0), (3.0, 4.0))
    with pytest.raises(InputError, match="no beliefs about the campaign all"):
        exchange.read_beliefs(source, "all")
