from itertools import pairwise

import numpy as np
import pytest

from rlrec.ope.transforms import FAMILIES, greatest, greatest_excess, grid, identity, transformed

TRIED = {
    "clip": (0.0, 0.3, 1.0, 2.5, np.inf),
    "switch": (0.0, 0.5, 1.5, 4.0, np.inf),
    "os": (0.0, 0.2, 1.0, 20.0, np.inf),
    "sg": (1.0, 0.9, 0.5, 0.1, 0.0),
    "power": (0.0, 0.2, 0.5, 0.9, 1.0),
}
"""From the strongest transform to none."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_weaker_transform_stays_closer_to_the_weight_and_the_last_is_the_weight(family):
    w = np.concatenate(([0.0], np.geomspace(1e-3, 30, 500)))
    np.testing.assert_allclose(transformed(w, family, identity(family)), w)
    bent = [np.abs(transformed(w, family, parameter) - w) for parameter in TRIED[family]]
    assert all((later <= earlier + 1e-12).all() for earlier, later in pairwise(bent))


@pytest.mark.parametrize("family", FAMILIES)
def test_suprema(family):
    w = np.linspace(0, 30, 300_001)[:, None]
    for parameter in TRIED[family]:
        bent = transformed(w, family, parameter)
        assert np.isfinite(bent).all()
        top = greatest(family, parameter, 30.0)
        assert bent.max() <= top + 1e-9
        assert top <= max(bent.max(), 1e-12) + 1e-3
        assert greatest(family, parameter) >= top
        excess = greatest_excess(family, parameter)
        assert (bent - w).max() <= excess + 1e-9
        assert (bent - w).max() >= excess - 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_grid_runs_from_the_strongest_transform_to_none(family):
    weights = np.random.default_rng(0).lognormal(size=(500, 1))
    points = grid(weights, family)
    assert points[-1] == identity(family)
    if family in ("clip", "switch", "os"):
        assert points[0] == 0
        assert np.all(np.diff(points) > 0)
        assert points[-2] > (weights.max() ** 2 if family == "os" else weights.max())
    np.testing.assert_array_equal(grid(np.zeros((3, 1)), "clip"), [0.0, np.inf])
