"""What the benchmark says about memory and stages: children count, and a stage gets the samples of its own time."""

import json
import os
import sys

import psutil
import pytest

from benchmarks.pipeline import MEGABYTE, Memory, Stage, held, measured, stages, summed

GRABBED = 200  # megabytes
TOUCH = f"block = bytearray({GRABBED} << 20); block[::4096] = bytes([1]) * len(block[::4096])"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TOUCH + '; import time; time.sleep(1)'!r}])"


def test_memory_of_a_child_counts():
    _, memory = measured([sys.executable, "-c", PARENT], {})
    peak = memory.peak()
    assert peak is not None
    assert GRABBED < peak / MEGABYTE < 2 * GRABBED


def test_what_has_ended_holds_nothing():
    gone = psutil.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert held(gone) == 0


def test_a_command_that_fails_ends_the_benchmark_with_its_output():
    with pytest.raises(SystemExit, match="what went wrong") as fault:
        measured([sys.executable, "-c", "print('what went wrong'); raise SystemExit(3)"], {})
    assert "ended with 3" in str(fault.value)


def test_the_environment_reaches_the_command():
    with pytest.raises(SystemExit, match="a value of its own"):
        measured(
            [sys.executable, "-c", "import os; exit(os.environ['RLREC_HOME'])"], {"RLREC_HOME": "a value of its own"}
        )


def test_a_stage_has_the_largest_sample_of_its_time():
    memory = Memory([(1.0, 10), (2.0, 30), (3.0, 20), (9.0, 99)])
    found = [Stage("pretrain", 0.5, 1.5), Stage("pretrain", 2.5, 3.5), Stage("report", 4.0, 5.0)]
    assert list(summed(found, memory)) == [("pretrain", 2.0, 20), ("report", 1.0, None)]
    assert memory.peak() == 99


def test_stages_are_read_from_what_a_run_stored(tmp_path):
    for name, seconds, end in (("report", 1.0, 30.0), ("ingest", 4.0, 10.0), ("reused", None, 20.0)):
        note = tmp_path / "store" / name / "key.json"
        note.parent.mkdir(parents=True)
        note.write_text(json.dumps({"seconds": seconds}))
        os.utime(note, (end, end))
    assert stages(tmp_path) == [Stage("ingest", 6.0, 10.0), Stage("report", 29.0, 30.0)]
