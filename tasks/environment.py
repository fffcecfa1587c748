"""What Prefect and MLflow must be told before they are imported; a user's own settings always win."""

import os
from contextlib import suppress
from pathlib import Path

from tasks.artifacts import home

STARTUP_SECONDS = "180"  # a fresh server database takes longer than Prefect's default of 20 s


def prepare() -> None:
    """Keep servers, results and telemetry inside `home()`; make it. Call before importing prefect, mlflow or torch.

    Log lines of the tasks go to Prefect; the terminal shows them as progress, not as Prefect's own lines.
    """
    place = home()
    defaults = {
        "PREFECT_HOME": str(place / "prefect"),
        "PREFECT_LOCAL_STORAGE_PATH": str(place / "results"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": STARTUP_SECONDS,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS": "2",  # buckets loaded at once: each takes half the memory limit
        "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "GIT_PYTHON_REFRESH": "quiet",
        "GOMP_SPINCOUNT": "1000",  # threads that spin longer for work steal the cores of whatever runs beside them
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    with suppress(OSError):  # whoever writes there first says what is wrong with the place
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)


prepare()
