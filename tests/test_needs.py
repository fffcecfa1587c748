"""What is lacking skips, unless it is required; and shapes are checked at run time in tests."""

import pytest
import torch

from rlrec.batches import LoggedSlates, State
from tests.needs import MISSING, need


def test_a_missing_thing_skips_by_name(monkeypatch):
    monkeypatch.delenv("RLREC_TEST_DATA", raising=False)
    monkeypatch.setenv("RLREC_REQUIRE", "browser")
    with pytest.raises(pytest.skip.Exception, match="data: RLREC_TEST_DATA is not set"):
        need("data")


def test_a_missing_thing_that_is_required_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("RLREC_TEST_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("RLREC_REQUIRE", "browser, data")
    with pytest.raises(pytest.fail.Exception, match="is no folder"):
        need("data")


def test_a_present_thing_is_no_obstacle(monkeypatch, tmp_path):
    monkeypatch.setenv("RLREC_TEST_DATA", str(tmp_path))
    need("data")


def test_every_thing_is_a_registered_marker(pytestconfig):
    markers = {line.split(":")[0] for line in pytestconfig.getini("markers")}
    assert set(MISSING) <= markers


def test_wrong_shapes_are_refused_in_tests():
    good = torch.zeros(2, 3)
    LoggedSlates(torch.zeros(2, dtype=torch.long), torch.zeros(2, 3, dtype=torch.long), good, good, good)
    State(torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.bool))
    with pytest.raises(TypeError):
        State(torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 4, dtype=torch.bool))
