"""Faults at the command line: a few lines and an exit code, nothing half-written, and resuming after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flows.cli import EXIT_INPUT, EXIT_INTERRUPTED

PATIENCE_SECONDS = 150


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *words]


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"RLREC_HOME": str(home)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "ml-100k/grpo_slat"), "did you mean 'ml-100k/grpo_slate'?"),
        (("run", "ml-100k/grpo_slate", "--set", "fine_tuning.gruop=4"), "'fine_tuning.group'"),
        (("run", "ml-100k/grpo_slate", "--data", "no/such/folder"), "no/such/folder"),
    ],
)
def test_a_mistake_is_a_few_plain_lines(words, said, tmp_path):
    done = subprocess.run(
        command(*words), env=environment(tmp_path / "home"), capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_INPUT
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) < 12
    assert not list((tmp_path / "home").rglob("*.parquet"))


def module(name: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"flows.{name}", *words]


@pytest.mark.slow
def test_a_flow_run_as_a_module_says_what_is_wrong(tmp_path):
    done = subprocess.run(
        module("finetune", "ml-100k/grpo_slat"), env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert done.returncode == EXIT_INPUT
    assert "did you mean 'ml-100k/grpo_slate'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_flow_runs_as_a_module(tmp_path, preset):
    done = subprocess.run(
        module("pretrain", str(preset), "--set", "evaluation.seeds=[3]"),
        env=environment(tmp_path), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "store" / "pretrain").glob("*.json"))) == 1
    assert not (tmp_path / "store" / "finetune").exists()


def started(preset: Path, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("run", str(preset), "--set", "fine_tuning.epochs=60", "--set", "evaluation.seeds=[1]"),
        env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def wait_for_training(home: Path, process: subprocess.Popen[str]) -> None:
    """Until Stage B has a checkpoint: Stage A is stored, and one more lies beside."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        if list((home / "store" / "evidence").glob("*.json")) and list((home / "checkpoints").glob("*.safetensors")):
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint appeared")


def tables(home: Path) -> dict[str, pl.DataFrame]:
    (folder,) = [path for path in (home / "store" / "results").iterdir() if path.is_dir()]
    return {file.stem: pl.read_parquet(file) for file in sorted(folder.glob("*.parquet"))}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_resumes_to_the_same_result(number, tmp_path, raw, preset):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    process = started(preset, cut)
    wait_for_training(cut, process)
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
        process.communicate()
    else:
        process.send_signal(number)
        output = process.communicate(timeout=PATIENCE_SECONDS)[0]
        assert process.returncode == EXIT_INTERRUPTED, output
        assert "the same command resumes" in output
        assert "Traceback" not in output
    assert not list((cut / "store" / "finetune").glob("*.json"))
    again = started(preset, cut)
    output = again.communicate(timeout=PATIENCE_SECONDS)[0]
    assert again.returncode == 0, output
    assert "resuming" in output
    other = started(preset, whole)
    output = other.communicate(timeout=PATIENCE_SECONDS)[0]
    assert other.returncode == 0, output
    found, expected = tables(cut), tables(whole)
    assert set(found) == set(expected)
    for name, frame in expected.items():
        assert_frame_equal(found[name], frame, check_exact=False, rel_tol=1e-9)
