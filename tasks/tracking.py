"""MLflow runs: one parent for a flow run, one child for a stage; metrics in batches, never one call each."""

import logging
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlencode

from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from tasks import environment  # noqa: F401 - settings that mlflow reads when it is imported
from tasks.artifacts import Artifact, home

logger = logging.getLogger(__name__)
EXPERIMENT = "rlrec"
BATCH = 1_000  # metrics that one call may carry
PARAM_LENGTH = 6_000
LIBRARIES = ("prefect", "mlflow", "torch", "polars", "duckdb", "numpy", "scipy", "scikit-learn")


def uri() -> str:
    """The tracking store: `MLFLOW_TRACKING_URI`, or sqlite inside `home()`."""
    place = home()
    place.mkdir(parents=True, exist_ok=True)
    return os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{place / 'mlflow.db'}")


def client() -> MlflowClient:
    """A client of the tracking store and the model registry."""
    return MlflowClient(tracking_uri=uri(), registry_uri=uri())


def experiment() -> str:
    """The id of our experiment, made on first use with an absolute artifact folder."""
    api = client()
    found = api.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return found.experiment_id
    return api.create_experiment(EXPERIMENT, artifact_location=(home() / "mlartifacts").as_uri())


@dataclass(frozen=True)
class Run:
    """A run being written; without an id it swallows everything, so that bodies work bare."""

    run_id: str | None = None

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters, nested ones with dotted names."""
        if self.run_id:
            rows = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in _flat(values)]
            client().log_batch(self.run_id, params=rows)

    def metrics(self, rows: Sequence[tuple[str, float, int]]) -> None:
        """Log (name, value, step) rows in as few calls as the store takes."""
        now = int(time.time() * 1000)
        if self.run_id:
            entries = [Metric(allowed(name), value, now, step) for name, value, step in rows]
            for start in range(0, len(entries), BATCH):
                client().log_batch(self.run_id, metrics=entries[start : start + BATCH])

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags."""
        if self.run_id:
            client().log_batch(self.run_id, tags=[RunTag(allowed(name), str(value)) for name, value in values.items()])

    def files(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or the contents of a folder."""
        if self.run_id:
            (client().log_artifacts if path.is_dir() else client().log_artifact)(self.run_id, str(path), folder)

    def inputs(self, artifacts: Mapping[str, Artifact]) -> None:
        """Log what the run read, with digests."""
        if self.run_id:
            rows = [
                DatasetInput(Dataset(name=name, digest=a.digest[:32], source_type="local", source=a.uri))
                for name, a in artifacts.items()
            ]
            client().log_inputs(self.run_id, datasets=rows)

    def link(self) -> str | None:
        """The run's page, on the server that `rlrec ui` starts or the one that RLREC_MLFLOW_URL names."""
        return None if self.run_id is None else f"{server()}/#/experiments/{experiment()}/runs/{self.run_id}"

    def file_link(self, path: str) -> str | None:
        """A logged file, on the same server."""
        found = urlencode({"path": path, "run_uuid": self.run_id})
        return None if self.run_id is None else f"{server()}/get-artifact?{found}"


def server() -> str:
    """Where MLflow's pages are."""
    return os.environ.get("RLREC_MLFLOW_URL", "http://127.0.0.1:5000")


def allowed(name: str) -> str:
    """A name as MLflow takes it: ndcg@10 becomes ndcg_at_10, and what else it refuses an underscore."""
    return re.sub(r"[^\w.\-/: ]", "_", name.replace("@", "_at_"))


@contextmanager
def opened(name: str, *, parent: str | None = None, tags: Mapping[str, object] | None = None) -> Iterator[Run]:
    """A run that ends FINISHED, or FAILED when its body raises."""
    api = client()
    labels = {"mlflow.runName": name, **({"mlflow.parentRunId": parent} if parent else {}), **(tags or {})}
    entry = api.create_run(experiment(), run_name=name, tags={k: str(v) for k, v in labels.items()})
    status = "FAILED"
    try:
        yield Run(entry.info.run_id)
        status = "FINISHED"
    finally:
        api.set_terminated(entry.info.run_id, status)


@contextmanager
def child(parent: str | None, stage: str, **tags: object) -> Iterator[Run]:
    """The run of one stage below `parent`; a silent one when there is none."""
    if parent is None:
        yield Run()
        return
    label = "-".join([stage, *(f"seed{value}" for name, value in tags.items() if name == "seed")])
    with opened(label, parent=parent, tags={"stage": stage, **tags}) as run:
        yield run


def commit() -> str:
    """The git commit of this checkout, with `+changes` when files differ from it; `unknown` outside one."""
    root = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Python and the libraries that results depend on."""
    return {"python": platform.python_version(), **{library: version(library) for library in LIBRARIES}}


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
