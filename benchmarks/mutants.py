"""Does some test notice when a formula is wrong? `python -m benchmarks.mutants [--only WORD]`.

Each change of `mutants.toml` is made by itself in a scratch copy, where the tests of off-policy evaluation are run
until one fails, those nearest to the changed file first. Ends with 1 when a change survives, or when the code has
moved on from under it. Reference values and real logs are read where RLREC_TEST_DATA says; without it, changes may
survive that would not with it.
"""

import argparse
import os
import signal
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from shutil import copy2, copytree, ignore_patterns
from tempfile import TemporaryDirectory
from time import perf_counter

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_suffix(".toml")
TESTS = "tests/ope/test_*.py", "tests/tasks/test_onepass.py", "tests/tasks/test_estimates.py"
READY = ["pytest", "beartype", "duckdb", "hypothesis", "jaxtyping", "polars", "scipy.stats", "sklearn.linear_model"]
SECONDS = 300  # of CPU: a change that makes a loop endless is noticed too
FAILED = 1  # pytest's word for tests that failed; others mean that it could not run them


@dataclass(frozen=True)
class Mutant:
    """One formula made wrong: `old`, which the file has once, becomes `new`."""

    file: str
    name: str
    old: str
    new: str

    def of(self, text: str) -> str:
        """The file's text with the change.

        Raises:
            ValueError: the text has moved on.
        """
        if text.count(self.old) != 1 or self.old == self.new:
            raise ValueError(f"{self.file}: {self.name}: expected once, and changed: {self.old!r}")
        return text.replace(self.old, self.new)

    def applies(self) -> bool:
        """Whether the file as it is has what is to be changed."""
        return (ROOT / self.file).read_text().count(self.old) == 1


def mutants() -> list[Mutant]:
    """All of the table."""
    table = tomllib.loads(TABLE.read_text())
    return [Mutant(file, name, *change) for file, changes in table.items() for name, change in changes.items()]


def nearest_first(file: str, tree: Path) -> list[list[str]]:
    """The test files: the one that mirrors a file, those that speak of it, all others."""
    source = Path(file)
    subject = ".".join(source.with_suffix("").parts) if source.suffix == ".py" else "tasks.onepass"
    mirror = f"test_{subject.rpartition('.')[2]}.py"
    groups: list[list[str]] = [[], [], []]
    for test in sorted(test for pattern in TESTS for test in tree.glob(pattern)):
        distance = 0 if test.name == mirror else 1 if subject in test.read_text() else 2
        groups[distance].append(str(test))
    return [group for group in groups if group]


def outcome(tree: Path, tests: Sequence[str], *, cached: bool) -> tuple[int, str]:
    """How pytest ends here, and what it says; in a process of its own, with libraries but none of our modules."""
    import pytest

    def give_up(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = cached
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        ended = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
    return int(ended), said.getvalue()


def failure(pool: ProcessPoolExecutor, tree: Path, file: str, *, cached: bool = True) -> str:
    """What the first test says that fails in this tree, those nearest to the file asked first; nothing if all pass.

    Raises:
        RuntimeError: they could not be run.
    """
    for tests in nearest_first(file, tree):
        ended, said = pool.submit(outcome, tree, tests, cached=cached).result()
        if ended not in (0, FAILED):
            raise RuntimeError(f"pytest ended with {ended}:\n{said}")
        if ended:
            return said
    return ""


def tried(chosen: Sequence[Mutant], processes: int) -> Iterator[tuple[Mutant, str]]:
    """Each change and which failure it caused, in scratch copies whose tests pass as they are.

    Raises:
        RuntimeError: tests fail with nothing changed.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(READY)
    trees: SimpleQueue[Path] = SimpleQueue()

    def attempt(mutant: Mutant) -> str:
        tree = trees.get()
        source, changed = ROOT / mutant.file, tree / mutant.file
        changed.write_text(mutant.of(source.read_text()))
        try:
            return failure(pool, tree, mutant.file)
        finally:
            copy2(source, changed)  # with its time: what was compiled before is right again
            trees.put(tree)

    with (
        TemporaryDirectory(prefix="rlrec-mutants-") as folder,
        ProcessPoolExecutor(processes, mp_context=context, max_tasks_per_child=1) as pool,
        ThreadPoolExecutor(processes) as threads,
    ):
        first = Path(folder) / "0"
        copytree(ROOT, first, ignore=ignore_patterns(".*", "__pycache__"))
        if said := failure(pool, first, chosen[0].file, cached=False):
            raise RuntimeError(f"tests fail with nothing changed:\n{said}")
        for number in range(processes):
            trees.put(Path(copytree(first, Path(folder) / str(number + 1))))
        yield from zip(chosen, threads.map(attempt, chosen), strict=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try them and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="a part of the file's path or of the change's name")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(arguments)
    named = [one for one in mutants() if asked.only in f"{one.file} {one.name}"]
    chosen, outdated = [one for one in named if one.applies()], [one for one in named if not one.applies()]
    if not chosen:
        parser.error(f"no change is called {asked.only!r}")
    started = perf_counter()
    survivors: dict[str, list[str]] = defaultdict(list)
    for number, (mutant, said) in enumerate(tried(chosen, asked.processes), start=1):
        survivors[mutant.file] += [] if said else [mutant.name]
        by = next((line for line in said.splitlines() if line.startswith("FAILED")), "SURVIVED")
        print(f"{number}/{len(chosen)} {mutant.file}: {mutant.name}: {by}", file=sys.stderr)
    print("| file | changes | noticed | survivors |\n|---|---|---|---|")
    for file, names in survivors.items():
        count = sum(one.file == file for one in chosen)
        print(f"| {file} | {count} | {count - len(names)} | {'; '.join(names)} |")
    alive = sum(map(len, survivors.values()))
    print(f"| all, in {perf_counter() - started:.0f} s | {len(chosen)} | {len(chosen) - alive} | {alive} |")
    for one in outdated:
        print(f"\nOutdated: {one.file}: {one.name}: there is not one {one.old!r}")
    return int(bool(alive or outdated))


if __name__ == "__main__":
    raise SystemExit(main())
