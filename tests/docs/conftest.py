"""A shell in which the commands of a page are those of this checkout."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIDTH = "100"
SHIM = '#!/bin/sh\nPYTHONPATH="{root}" exec "{python}" {options} "$@"\n'


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """Variables under which `rlrec` and `python` are those of this checkout, and servers are nobody else's."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, options in (("rlrec", "-m flows.cli"), ("python", "")):
        program = programs / name
        program.write_text(SHIM.format(root=ROOT, python=sys.executable, options=options))
        program.chmod(0o755)
    home = {"RLREC_HOME": str(tmp_path / "home"), "COLUMNS": WIDTH, "PYTHONIOENCODING": "utf-8"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    return inherited | home | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
