"""Reference values are read where they lie, or the test is skipped."""

import json
from pathlib import Path

import numpy as np
import pytest

from rlrec.ope.rounds import Rounds
from tests.needs import lack


@pytest.fixture(scope="session")
def reference(data: Path) -> dict:
    """Values computed by other software."""
    file = data.parent / "reference" / "ope_cases.json"
    if not file.is_file():
        lack("data", "no reference values beside the shared data")
    return json.loads(file.read_text())


@pytest.fixture
def twelve(reference: dict) -> Rounds:
    """Twelve rows of the reference, one of them with weight 0."""
    given = reference["case1_inline_12_rows"]["input"]
    action, rows = np.array(given["action"]), np.arange(len(given["action"]))
    policy, model = np.array(given["pi_e"]), np.array(given["q_hat"])
    return Rounds.of(
        np.array(given["reward"]),
        np.array(given["pscore"]),
        policy[rows, action],
        q_hat=model[rows, action],
        q_hat_target=(policy * model).sum(axis=1),
        reward_range=(0.0, 1.0),
    )
