"""The house keeps its rules: every arrow is guarded, every module has its test, documents name what exists."""

import builtins
import dis
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

import pytest

from flows import cli
from tests.needs import lack

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rlrec", "tasks", "flows")
LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"
README_LINES = 150
MARKDOWN = (
    "README.md", "CONTRIBUTING.md", "docs/house.md", "docs/ope.md", "docs/own-data.md", "docs/own_algorithm.md",
    "docs/sources.md",
)  # fmt: skip

TESTED_TOGETHER = {
    "closed_form/rows": "closed_form/test_closed_form",
    "pretrain/bpr": "pretrain/test_pretrain",
    "pretrain/graph_cl": "pretrain/test_pretrain",
}
"""Modules that are tested where they are used, or where the same is asked of several."""
WITHOUT_BEHAVIOUR = {"protocols"}
"""Shapes for the type checker alone."""


@dataclass(frozen=True)
class Breach:
    """A forbidden line, where it would stand, and the contract that must refuse it."""

    file: str
    line: str
    contract: str
    complaint: str


BREACHES = (
    Breach(
        "rlrec/graph/new.py", "import tasks.artifacts", "flows -> tasks -> rlrec", "rlrec.graph.new -> tasks.artifacts"
    ),
    Breach("tasks/new.py", "import flows.cli", "flows -> tasks -> rlrec", "tasks.new -> flows.cli"),
    Breach("rlrec/ops/new.py", "import mlflow", "rlrec knows no orchestration", "rlrec.ops.new -> mlflow"),
    Breach("rlrec/graph/new.py", "import prefect", "rlrec knows no orchestration", "rlrec.graph.new -> prefect"),
    Breach("rlrec/graph/new.py", "import duckdb", "rlrec knows no orchestration", "rlrec.graph.new -> duckdb"),
    Breach("rlrec/ope/new.py", "import torch", "know no torch", "rlrec.ope.new -> torch"),
    Breach("rlrec/ops/new.py", "import polars", "ops knows only torch", "rlrec.ops.new -> polars"),
    Breach("flows/new.py", "import torch", "a flow composes", "flows.new -> torch"),
    Breach("tasks/new.py", "import prefect", "task bodies are plain functions", "tasks.new -> prefect"),
    Breach(
        "rlrec/algorithms/new.py",
        "import rlrec.algorithms.grpo_slate",
        "no algorithm imports another",
        "algorithms.new ->",
    ),
    Breach("rlrec/pretrain/new.py", "import rlrec.pretrain.bpr", "no objective imports another", "pretrain.new ->"),
    Breach("rlrec/ope/new.py", "import rlrec.algorithms.grpo_slate", "the rooms of rlrec", "rlrec.ope.new ->"),
    Breach("rlrec/ops/new.py", "import rlrec.graph.bipartite", "the rooms of rlrec", "rlrec.ops.new ->"),
    Breach("rlrec/unplaced.py", "", "the rooms of rlrec", "rlrec.unplaced"),
)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The packages and their contracts, to be damaged at will."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def contracts(folder: Path) -> tuple[int, str]:
    """The exit code of import-linter and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def broken(said: str) -> list[str]:
    """The contracts that were refused."""
    return re.findall(r"^(.+) BROKEN", said, flags=re.MULTILINE)


def test_the_tree_as_it_stands_keeps_every_contract(house):
    code, said = contracts(house)
    assert (code, broken(said)) == (0, []), said


@pytest.mark.parametrize("breach", BREACHES, ids=lambda breach: f"{breach.file}: {breach.line}")
def test_a_breach_of_an_arrow_fails_the_build(house, breach):
    (house / breach.file).write_text(f'"""New."""\n{breach.line}\n')
    code, said = contracts(house)
    assert code != 0
    assert any(name.startswith(breach.contract) or breach.contract in name for name in broken(said)), said
    assert breach.complaint in said


def mirrored(module: str) -> Path:
    """Where the test of `room/name` stands, unless said otherwise."""
    place = Path(TESTED_TOGETHER.get(module, Path(module).with_name(f"test_{Path(module).name}").as_posix()))
    return ROOT / "tests" / place.with_suffix(".py")


def test_every_module_of_the_library_has_its_test():
    files = [path.relative_to(ROOT / "rlrec") for path in (ROOT / "rlrec").rglob("*.py") if path.name != "__init__.py"]
    modules = {file.with_suffix("").as_posix() for file in files}
    excused = set(TESTED_TOGETHER) | WITHOUT_BEHAVIOUR
    assert sorted(excused - modules) == [], "excused, but not there"
    missing = {module for module in modules if not mirrored(module).exists()}
    assert sorted(missing - WITHOUT_BEHAVIOUR) == []


def test_no_function_reads_a_name_that_its_module_lacks():
    """Linters must leave undefined names alone here, for the sake of one-word shapes."""
    missing: list[str] = []
    for file in sorted(one for package in PACKAGES for one in (ROOT / package).rglob("*.py")):
        module = compile(file.read_text(encoding="utf-8"), file.name, "exec")
        known = {*vars(builtins), "__file__", "__name__"}
        known |= {one.argval for one in dis.get_instructions(module) if one.opname in ("STORE_NAME", "STORE_GLOBAL")}
        waiting = [module]
        while waiting:
            code = waiting.pop()
            waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
            read = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
            missing += [f"{file.relative_to(ROOT)}: {code.co_name} reads {name}" for name in sorted(read - known)]
    assert not missing


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_the_readme_maps_every_algorithm():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files = [path for room in ("algorithms", "pretrain") for path in (ROOT / "rlrec" / room).glob("[!_]*.py")]
    assert files
    assert [path.name for path in files if f"({path.relative_to(ROOT).as_posix()})" not in readme] == []


def test_documents_show_commands_that_exist():
    known = {command.name for command in cli.app.registered_commands} | {
        group.name for group in cli.app.registered_groups
    }
    shown = {
        verb
        for document in MARKDOWN
        if document != "docs/house.md"  # it also names what later rooms will bring
        for verb in re.findall(
            r"(?:^(?:    )?|`)rlrec (\w+)", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert shown
    assert sorted(shown - known) == []


@pytest.mark.parametrize("document", MARKDOWN)
def test_documents_link_to_what_exists(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"(?<!!)\[[^\]]+\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []


def test_tracked_files_name_no_registry_and_no_machine():
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        lack("git", "this is no git checkout")
    foreign = re.compile(r"pypi\.org|pythonhosted\.org|(?<![\w.~*-])/(?:work|opt|home|Users)/\w|(?<![\w.~*-])/tmp/\w")
    found = []
    for name in listed.stdout.split("\0"):
        file = ROOT / name
        if name and file.is_file() and b"\0" not in (content := file.read_bytes()):
            lines = content.decode("utf-8").splitlines()
            found += [f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if foreign.search(line)]
    assert found == []
