"""The benchmark on the real logs gives the values that other software gave."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.open_bandit import BTS, measured, pairs, published, read
from tests.needs import lack

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def folder(data: Path) -> Path:
    """The logs as published."""
    return data / "open-bandit"


def test_the_published_relative_value_of_the_simulated_table(folder):
    reference = folder.parent.parent / "reference" / "ope_cases.json"
    if not reference.is_file():
        lack("data", "no reference values beside the shared data")
    (_, found, target), (_, back, _) = measured(folder, "all", published(reference))
    assert found.estimates["ips"].value / found.logging_value == pytest.approx(1.198126, abs=1e-6)
    assert target.clicked.mean() == pytest.approx(0.0042)
    assert [back.estimates[name].value for name in ("ips", "snips")] == pytest.approx([0.002360, 0.002334], abs=5e-7)


def test_a_log_without_support_is_told_and_the_other_direction_is_not(folder):
    (_, there, _), (_, back, _) = measured(folder, "women", None)
    assert (there.verdict.grade, back.verdict.grade) == ("caution", "no_support")
    assert [back.estimates[name].value for name in ("ips", "snips")] == pytest.approx([0.007438, 0.002373], abs=5e-7)


def test_shares_and_features_belong_to_what_was_shown(folder):
    log = read(folder, BTS, "men")
    shares = log.shares()
    assert shares.sum(axis=0) == pytest.approx(np.ones(3))
    first = (log.position == 0) & (log.item == 5)
    assert shares[5, 0] == pytest.approx(first.sum() / (log.position == 0).sum())
    rows = np.arange(len(log.item))
    shown = pairs(log)[rows, log.item]
    assert shown[:, :3].argmax(axis=1).tolist() == log.position.tolist()
    assert (shown[:, 3:-1] == log.items[log.item]).all()
