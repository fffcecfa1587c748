"""What a user reads when something handed in cannot be used."""

from pathlib import Path

from rlrec.errors import InputError


def test_an_error_says_what_where_and_what_to_change():
    fault = InputError("not a number", file=Path("u.data"), column="rating", rows=1_234, remedy="correct the lines")
    assert str(fault).splitlines() == [
        "not a number",
        "  file:   u.data",
        "  column: rating",
        "  rows:   1,234",
        "  remedy: correct the lines",
    ]
    assert (fault.problem, fault.file, fault.column, fault.rows) == ("not a number", "u.data", "rating", 1_234)
    assert fault.args == (str(fault),)


def test_what_is_not_known_is_not_said():
    assert str(InputError("the file is empty")) == "the file is empty"


def test_no_rows_at_all_is_a_number_worth_saying():
    assert "rows:   0" in str(InputError("nothing is left", rows=0))
