"""The page on own data does what it says: its commands run, and print what it shows."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps() -> list[tuple[str, list[str]]]:
    """Each block of commands, and the lines that the page says it prints."""
    found: list[tuple[str, list[str]]] = []
    for kind, text in BLOCK.findall((ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")):
        if kind == "sh":
            found.append((text, []))
        else:
            found[-1][1].extend(text.splitlines())
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute on two idle cores
def test_from_a_csv_to_a_judged_policy(shell, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    printed = ""
    for commands, promised in steps():
        done = subprocess.run(
            ["sh", "-eu", "-c", commands], cwd=folder, env=shell, capture_output=True, text=True, encoding="utf-8"
        )
        printed = done.stdout
        assert done.returncode == 0, f"{commands}\n{printed[-2000:]}\n{done.stderr[-2000:]}"
        assert [line for line in promised if line not in printed.splitlines()] == [], printed
    assert printed, "the page has no commands"
    assert len(list((tmp_path / "home" / "store" / "report").glob("*/report.html"))) == 1
