"""One Prefect server, and one pipeline that ran twice, for all tests of flows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tiny import write_preset, write_tiny


@dataclass(frozen=True)
class Ran:
    """Two runs of one plan in one home."""

    home: Path
    plan: Any
    first: Any
    second: Any


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files of the synthetic world."""
    return write_tiny(tmp_path_factory.mktemp("raw"))


@pytest.fixture
def preset(tmp_path: Path, raw: Path) -> Path:
    """A small plan over them."""
    return write_preset(tmp_path, raw)


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The session's harness: an own database, no heartbeat, no log upload."""
    import os

    os.environ["RLREC_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from tasks import environment

    environment.prepare()
    from prefect.settings import (
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_TO_API_ENABLED: False}
    with prefect_test_harness(server_startup_timeout=180), temporary_settings(quiet):
        yield


@pytest.fixture(scope="session")
def ran(prefect_server: None, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The pipeline on the synthetic world, twice."""
    folder = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLREC_HOME", str(folder / "home"))
        from flows.pipeline import pipeline
        from tasks import presets

        plan = presets.load(str(write_preset(folder, raw)))
        return Ran(folder / "home", plan, pipeline(plan), pipeline(plan))


@pytest.fixture
def in_home(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """The same, with its home as ours."""
    monkeypatch.setenv("RLREC_HOME", str(ran.home))
    return ran


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Path, Path]:
    """A log of one uniform policy over two items, and a policy that always shows the second, which earns more."""
    log = {
        "event": list(range(400)), "request": list(range(400)), "user": [event % 50 for event in range(400)],
        "position": [1] * 400, "reward": [float(event % 2 and event % 4 == 1) for event in range(400)],
        "propensity": [0.5] * 400,
    }  # fmt: skip
    probability = [float(event % 2) for event in range(400)]
    targets = {"event": log["event"], "target_policy": ["second"] * 400, "target_probability": probability}
    for name, rows in (("logs", log), ("targets", targets)):
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    return tmp_path / "logs.parquet", tmp_path / "targets.parquet"
