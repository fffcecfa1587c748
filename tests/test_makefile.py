"""The make targets, with a Python that only writes down how it is called: nothing is installed."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.needs import lack

ROOT = Path(__file__).resolve().parents[1]
INSTALL = "python -m pip --disable-pip-version-check install"
HOUR = 3_600

# Answers for the version check and `-m venv`; the interpreter that it puts into .venv records its arguments.
RECORDING_PYTHON = r"""#!/bin/sh
if test "$1" = -m && test "$2" = venv; then
  mkdir -p .venv/bin
  for name in python rlrec ruff basedpyright lint-imports sqlfluff; do
    {
      echo '#!/bin/sh'
      echo "echo \"$name \$*\" >>calls"
      echo 'if test "$1" = -c; then echo "torch>=1,<2"; fi'
    } >".venv/bin/$name"
    chmod +x ".venv/bin/$name"
  done
fi
"""
OLD_PYTHON = """#!/bin/sh
test "$1" = --version && echo Python 3.9.6 && exit 0
exit 1
"""
WITHOUT_VENV = """#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The Makefile and pyproject.toml in a folder of their own, with spaces in its name."""
    if shutil.which("make") is None:
        lack("make", "no program make")
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def make(folder: Path, python: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make with this script as PYTHON."""
    script = folder / "python-for-make"
    script.write_text(python)
    script.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "PYTHON=./python-for-make", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def calls(folder: Path) -> list[str]:
    """What was called since the last look, questions asked with -c left out."""
    file = folder / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [line for line in lines if not line.startswith("python -c")]


def test_run_installs_once_and_then_only_runs(clone):
    for expected in ([f"{INSTALL} -e .", "rlrec run ml-100k/grpo_slate"], ["rlrec run ml-100k/grpo_slate"]):
        done = make(clone, RECORDING_PYTHON, "run")
        assert done.returncode == 0, done.stderr
        assert calls(clone) == expected


def test_a_newer_pyproject_is_installed_again(clone):
    make(clone, RECORDING_PYTHON, "run")
    calls(clone)
    stamp = (clone / ".venv" / "installed").stat().st_mtime
    os.utime(clone / "pyproject.toml", (stamp + HOUR, stamp + HOUR))
    make(clone, RECORDING_PYTHON, "run")
    assert calls(clone)[0] == f"{INSTALL} -e ."


def test_an_installation_that_fails_is_tried_again(clone):
    make(clone, RECORDING_PYTHON, ".venv/made")
    pip = clone / ".venv" / "bin" / "python"
    works = pip.read_text()
    pip.write_text("#!/bin/sh\nexit 1\n")
    assert make(clone, RECORDING_PYTHON, "run").returncode != 0
    pip.write_text(works)
    make(clone, RECORDING_PYTHON, "run")
    assert calls(clone) == [f"{INSTALL} -e .", "rlrec run ml-100k/grpo_slate"]


def test_another_index_serves_torch_alone_within_our_bound(clone):
    make(clone, RECORDING_PYTHON, "run", "TORCH_INDEX=https://example.org/cpu", "PRESET=ml-1m/grpo_slate")
    assert calls(clone) == [
        f"{INSTALL} --index-url https://example.org/cpu torch>=1,<2",
        f"{INSTALL} -e .",
        "rlrec run ml-1m/grpo_slate",
    ]


def test_the_bound_of_torch_is_found_in_pyproject():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert len([name for name in dependencies if name.startswith("torch>")]) == 1


def test_test_all_adds_to_test_and_needs_no_second_installation_to_run(clone):
    make(clone, RECORDING_PYTHON, "-j4", "test", "test-all", "run")
    extra = "python -m pytest -m (slow or distributed or browser or postgres or ray or dask) and not gpu"
    assert calls(clone) == [f"{INSTALL} -e .[dev]", "python -m pytest", extra, "rlrec run ml-100k/grpo_slate"]


def test_lint_is_the_five_commands(clone):
    make(clone, RECORDING_PYTHON, ".venv/installed-dev")
    calls(clone)
    make(clone, RECORDING_PYTHON, "lint")
    expected = ["ruff format --check .", "ruff check .", "basedpyright", "lint-imports", "sqlfluff lint sql"]
    assert [line.strip() for line in calls(clone)] == expected


@pytest.mark.parametrize(
    ("python", "says"),
    [(OLD_PYTHON, ("Python 3.9.6", "PYTHON=python3.12")), (WITHOUT_VENV, ("no venv module", "python3-venv"))],
    ids=["too old", "without venv"],
)
def test_an_unusable_python_is_refused_before_anything_is_made(clone, python, says):
    done = make(clone, python, "run")
    assert done.returncode != 0
    assert all(words in done.stderr for words in says)
    assert not (clone / ".venv").exists()


def test_a_missing_python_is_named(clone):
    done = make(clone, RECORDING_PYTHON, "run", "PYTHON=python3.99")
    assert done.returncode != 0
    assert "no program 'python3.99'" in done.stderr


def test_help_names_every_target(clone):
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]
    shown = make(clone, RECORDING_PYTHON).stdout
    assert [target for target in phony if f"make {target} " not in shown] == []
