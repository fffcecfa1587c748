"""The benchmark's bias is exact: estimates tend to what it says, and their bounds hold it."""

import numpy as np
import pytest

from benchmarks.bias import WORLDS, limit, traced
from benchmarks.launches import world
from rlrec.ope.estimators import UNTUNED, estimate
from rlrec.ope.evaluation import REPORTED
from rlrec.ope.intervals import cluster_error
from rlrec.ope.transforms import transformed

ROWS = 100_000
WIDE = 5  # standard errors
LOGS = 4


@pytest.mark.parametrize("kind", WORLDS)
@pytest.mark.parametrize("base", REPORTED)
def test_large_logs_come_near_the_limit(kind, base):
    made = world(kind, np.random.default_rng(1))
    model = 0.5 * made.mean
    rounds = made.log(ROWS, np.random.default_rng(2), model=model)
    weights = np.divide(made.candidate, made.recorded, out=np.zeros_like(made.mean), where=made.recorded > 0)
    for found, bent in (
        (UNTUNED[base](rounds), weights),
        (estimate(base, rounds, family="clip", parameter=1.0), transformed(weights, "clip", 1.0)),
    ):
        error = cluster_error(found.contributions, rounds)
        assert abs(found.value - limit(made, model, base, bent)) < WIDE * error


def test_bounds_hold_at_every_parameter_and_rules_choose_where_they_can():
    far, gaps = (traced(kind, 400, LOGS, seed=0) for kind in WORLDS)
    for one in (*far.values(), *gaps.values()):
        assert np.nanmin(one.within) == 1
        assert one.value.shape == one.bound.shape == (LOGS, len(one.parameters))
    assert far["ips", "clip"].bias[-1] == pytest.approx(0, abs=1e-12)
    assert gaps["ips", "clip"].bias[-1] < -0.01
    assert all(np.isfinite(one.chosen["mse_bound"]).all() for one in gaps.values())
