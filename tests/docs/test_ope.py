"""The worked example on Open Bandit does what the page says: its commands run, and tell what to read."""

import re
import subprocess
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.compile(r"^## A worked example: Open Bandit$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AT_HAND = {"data fetch open-bandit": "--path", "run open-bandit/exchange": "--data"}
"""What takes a copy of the data in place of the network, and by which option."""


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute on two idle cores
def test_from_fetching_to_a_verdict(shell, data, tmp_path):
    section = SECTION.search((ROOT / "docs" / "ope.md").read_text(encoding="utf-8"))
    assert section is not None
    printed = ""
    for block in BLOCK.findall(section[1]):
        commands = block
        for command, option in AT_HAND.items():
            commands = commands.replace(command, f"{command} {option} '{data / 'open-bandit'}'")
        done = subprocess.run(
            ["sh", "-eu", "-c", commands],
            cwd=tmp_path,
            env=shell | {"RLREC_HOME": ".rlrec"},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        printed += done.stdout
    assert "every file has the verified SHA-256" in printed
    assert "bts: shares of its own log" in printed  # this copy has no beliefs
    assert "random: no_support" in printed
    assert "stopped: 3" in printed
    table = (tmp_path / ".rlrec" / "exchange" / "table.md").read_text(encoding="utf-8")
    assert table.count(" -> ") == 1 + 6
    written = pl.read_parquet(tmp_path / "back" / "curve.parquet")
    assert written["value"].drop_nulls().len() > 0
