"""The increment flow: buckets are tasks of their own, and every task runner ends where the plain call ends."""

import pytest

from tasks import loading
from tasks.artifacts import digest_of
from tasks.sources import fetch
from tasks.warehouse import ingest
from tests.logs import day_of_log, manifest_of, write_log

TOML = """
partition = "day"
[[source]]
files = "*.csv"
columns = { user = "who", session = "visit", item = "what", behaviour = "how", time = "when" }
time = { unit = "s" }
behaviours = { view = "view", cart = "cart" }
"""


@pytest.fixture
def mapping(tmp_path, monkeypatch):
    """A day of a log in several buckets, and how to read it."""
    monkeypatch.setattr(loading, "BUCKET_BYTES", 4096)
    write_log(tmp_path / "one.csv", day_of_log(0, 200))
    (tmp_path / "logs.toml").write_text(TOML)
    return tmp_path / "logs.toml"


def threads():
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner(max_workers=2)


def processes():
    from prefect.task_runners import ProcessPoolTaskRunner

    return ProcessPoolTaskRunner(max_workers=2)


def ray():
    from prefect_ray import RayTaskRunner

    return RayTaskRunner(init_kwargs={"num_cpus": 2, "include_dashboard": False})


def dask():
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(cluster_kwargs={"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None})


RUNNERS = [
    threads,
    pytest.param(processes, marks=pytest.mark.slow),
    pytest.param(ray, marks=pytest.mark.ray),
    pytest.param(dask, marks=pytest.mark.dask),
]


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_task_runner_makes_the_warehouse_of_the_plain_call(
    prefect_server, mapping, tmp_path, monkeypatch, runner
):
    from flows.increment import increment

    monkeypatch.setattr("tasks.warehouse.in_threads", None)  # the flow may not fall back on it

    out, plain = tmp_path / "flow", tmp_path / "plain"
    spread = increment.with_options(task_runner=runner())
    ingest(fetch(str(mapping)), plain)
    for day in (0, 1):
        if day:
            write_log(tmp_path / "two.csv", day_of_log(day, 200))
            ingest(fetch(str(mapping)), plain)
        corpus = spread(str(mapping), str(out))
        manifest = manifest_of(out)
        assert manifest.buckets > 1
        assert manifest == manifest_of(plain)
        assert contents(out) == contents(plain)
    assert spread(str(mapping), str(out)) == corpus
    assert manifest_of(out) == manifest


def contents(warehouse):
    """Path -> digest of every Parquet file."""
    return {file.relative_to(warehouse).as_posix(): digest_of(file) for file in warehouse.rglob("*.parquet")}
