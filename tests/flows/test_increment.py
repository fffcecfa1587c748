"""The increment flow: buckets are tasks of their own, and the outcome is that of the plain call."""

import pytest

from tasks.warehouse import ingest
from tests.logs import day_of_log, external_events, manifest_of, write_log


@pytest.fixture
def mapping(tmp_path):
    """A day of a log, and how to read it."""
    write_log(tmp_path / "one.csv", day_of_log(0, 200))
    (tmp_path / "logs.toml").write_text(TOML)
    return tmp_path / "logs.toml"


TOML = """
partition = "day"
[[source]]
files = "*.csv"
columns = { user = "who", session = "visit", item = "what", behaviour = "how", time = "when" }
time = { unit = "s" }
behaviours = { view = "view", cart = "cart" }
"""


def test_the_flow_ends_where_the_plain_call_ends_and_a_second_run_changes_nothing(prefect_server, mapping, tmp_path):
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows.increment import increment
    from tasks.sources import fetch

    out = tmp_path / "flow"
    spread = increment.with_options(task_runner=ThreadPoolTaskRunner(max_workers=2))
    corpus = spread(str(mapping), str(out))
    ingest(fetch(str(mapping)), tmp_path / "plain")
    assert external_events(out).equals(external_events(tmp_path / "plain"))
    before = (out / "manifest.json").read_bytes()
    assert spread(str(mapping), str(out)) == corpus
    assert (out / "manifest.json").read_bytes() == before
    assert manifest_of(out).generation == 1
