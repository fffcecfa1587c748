"""Each replication is counted once for every interval, against a truth that guaranteed intervals hold."""

from benchmarks.coverage import METHODS, covered

REPLICATIONS = 6


def test_every_method_is_counted_and_guarantees_hold():
    found = covered(200, REPLICATIONS, seed=2)
    assert {method for _, method, _ in found} == {*METHODS, "student", "delta", "bootstrap_percentile"}
    assert all(len(held) == REPLICATIONS for held in found.values())
    assert all(hit for (_, _, validity), held in found.items() if validity == "finite" for hit, _ in held)
    assert any(0 < width < 1 for _, width in found["snips", "delta", "asymptotic"])
    right, wrong = (found[f"dr, {model} model", "student", "asymptotic"] for model in ("right", "wrong"))
    assert sum(width for _, width in right) < sum(width for _, width in wrong)
