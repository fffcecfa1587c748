"""What a machine may lack: such tests are skipped and named, or fail when RLREC_REQUIRE lists the thing."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest


def missing_data() -> str | None:
    """Why the real data cannot be read."""
    folder = os.environ.get("RLREC_TEST_DATA")
    if not folder:
        return "RLREC_TEST_DATA is not set"
    return None if Path(folder).is_dir() else f"RLREC_TEST_DATA={folder} is no folder"


def missing_program(*names: str) -> str | None:
    """Why none of these programs can be run."""
    return None if any(shutil.which(name) for name in names) else f"no program {' or '.join(names)}"


def missing_postgres() -> str | None:
    """Why no PostgreSQL server can be started. Debian keeps it off the path."""
    if any(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")):
        return None
    return missing_program("pg_ctl")


def missing_extra(name: str) -> str | None:
    """Why the task runner of an optional extra cannot be imported."""
    return None if importlib.util.find_spec(f"prefect_{name}") else f"the {name} extra is not installed"


def missing_gpu() -> str | None:
    """Why no CUDA device can be used."""
    import torch

    return None if torch.cuda.is_available() else "no CUDA device"


MISSING: dict[str, Callable[[], str | None]] = {
    "data": missing_data,
    "browser": lambda: missing_program("chromium", "chromium-browser", "google-chrome"),
    "postgres": missing_postgres,
    "ray": lambda: missing_extra("ray"),
    "dask": lambda: missing_extra("dask"),
    "gpu": missing_gpu,
}
"""Keyed by the pytest marker that asks for it."""


def required() -> set[str]:
    """The things whose lack is a failure."""
    return {thing.strip() for thing in os.environ.get("RLREC_REQUIRE", "").split(",") if thing.strip()}


def lack(thing: str, reason: str) -> NoReturn:
    """End the test: skipped, or failed when the thing is required."""
    if thing in required():
        pytest.fail(f"RLREC_REQUIRE names {thing}, but: {reason}", pytrace=False)
    pytest.skip(f"{thing}: {reason}")


def need(thing: str) -> None:
    """Go on only where the thing is there."""
    if reason := MISSING[thing]():
        lack(thing, reason)
