"""The Prefect and MLflow servers over the runs in `home()`, on loopback, started and stopped together."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rlrec.errors import InputError
from tasks import tracking
from tasks.artifacts import home
from tasks.environment import prepare

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
PREFECT_PORT, MLFLOW_PORT = 4200, 5000
STARTUP_SECONDS = 180
STOP_SECONDS = 10


@dataclass(frozen=True)
class Pages:
    """Where the two user interfaces are."""

    prefect: str
    mlflow: str


@contextmanager
def serving(prefect_port: int = PREFECT_PORT, mlflow_port: int = MLFLOW_PORT, deploy: bool = True) -> Iterator[Pages]:
    """Both servers up and answering, and the flows deployed, so that a run can be started from Prefect's page.

    Raises:
        InputError: a port is taken, or a server does not come up.
    """
    prepare()
    tracking.experiment()
    for port, option in ((prefect_port, "--prefect-port"), (mlflow_port, "--mlflow-port")):
        if _taken(port):
            raise InputError(f"port {port} is in use", remedy=f"stop what uses it, or choose another with {option}")
    folder = home()
    api = f"http://{HOST}:{prefect_port}/api"
    shared = os.environ | {
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_UI_API_URL": api,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    commands = {
        "prefect": [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect_port)],
        "mlflow": [
            sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow_port), "--workers", "1",
            "--backend-store-uri", tracking.uri(), "--artifacts-destination", str(folder / "mlartifacts"),
        ],
    }  # fmt: skip
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, command in commands.items():
            running.append(_start(name, command, shared))
        pages = Pages(f"http://{HOST}:{prefect_port}", f"http://{HOST}:{mlflow_port}")
        _await(f"{api}/health", running[0], "prefect")
        _await(f"{pages.mlflow}/health", running[1], "mlflow")
        if deploy:
            running.append(_start("flows", [sys.executable, "-m", "flows.serve"], shared))
        yield pages
    finally:
        for process in reversed(running):
            _stop(process)


def _start(name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    folder = home() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)


def _await(url: str, process: subprocess.Popen[bytes], name: str) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    log = home() / "logs" / f"{name}.log"
    raise InputError(f"the {name} server did not start", file=log, remedy="the log says why")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((HOST, port)) == 0
