"""The table of changed formulas keeps up with the code: whoever edits a formula edits its change."""

from pathlib import Path

import pytest

from benchmarks.mutants import ROOT, Mutant, mutants, nearest_first

NO_FORMULA = {"__init__", "validation"}  # what they refuse has a test for every code


@pytest.mark.slow  # it takes no time, but whoever changes a formula may land it before its entries
def test_every_change_changes_what_stands_there_once():
    for mutant in mutants():
        text = (ROOT / mutant.file).read_text()
        assert mutant.of(text) != text


def test_a_change_needs_one_place():
    for old in ("nowhere", "text"):
        with pytest.raises(ValueError, match="expected once"):
            Mutant("file", "name", old, "new").of("text, text")


def test_every_module_with_formulas_is_changed():
    files = {mutant.file for mutant in mutants()}
    modules = {str(file.relative_to(ROOT)) for file in (ROOT / "rlrec/ope").glob("*.py") if file.stem not in NO_FORMULA}
    assert modules <= files


def test_the_mirror_is_asked_first_and_all_are_asked():
    groups = nearest_first("rlrec/ope/groups.py", ROOT)
    assert [Path(test).name for test in groups[0]] == ["test_groups.py"]
    assert len({test for group in groups for test in group}) == sum(map(len, groups))
    assert {Path(test).name for test in nearest_first("sql/ope/cells.sql", ROOT)[0]} == {"test_onepass.py"}
