from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlrec.ope.diagnostics import diagnose
from rlrec.ope.estimators import UNTUNED
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import Stats, cluster_sums, value_of
from tests.ope.test_estimators import columns_of, random_rounds


def ragged(seed: int, count: int, k: int) -> Rounds:
    g = np.random.default_rng(seed)
    mask = g.random((count, k)) > 0.2
    mask[:, 0] = True
    return random_rounds(seed, count=count, k=k, mask=mask, cluster=g.integers(0, 5, count))


def part(rounds: Rounds, rows: slice) -> Rounds:
    return Rounds.of(**{name: values[rows] for name, values in columns_of(rounds).items()})


@pytest.mark.parametrize("base", UNTUNED)
@pytest.mark.parametrize("k", [1, 3])
def test_sums_give_the_same_values_and_errors_as_contributions(base, k):
    rounds = ragged(0, 60, k)
    stats, found = Stats.of(rounds), UNTUNED[base](rounds)
    assert stats.value(base) == pytest.approx(found.value, rel=1e-12)
    assert stats.standard_error(base) == pytest.approx(found.standard_error, rel=1e-9)


@given(st.integers(0, 1_000), st.integers(1, 3), st.lists(st.integers(1, 29), max_size=4))
def test_any_split_merges_to_the_whole(seed, k, cuts):
    rounds = ragged(seed, 30, k)
    edges = sorted({0, *cuts, 30})
    merged = Stats.empty(k)
    for low, high in pairwise(edges):
        merged = merged + Stats.of(part(rounds, slice(low, high)))
    whole = Stats.of(rounds) + Stats.empty(k)
    assert merged.n == whole.n == 30
    assert merged.max_weight == whole.max_weight
    np.testing.assert_allclose(merged.sums, whole.sums, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.products, whole.products, rtol=1e-12, atol=1e-12)


def test_chunks_do_not_show(monkeypatch):
    rounds = ragged(1, 50, 2)
    whole = Stats.of(rounds)
    monkeypatch.setattr("rlrec.ope.statistics.CHUNK", 7)
    np.testing.assert_allclose(Stats.of(rounds).products, whole.products, rtol=1e-12, atol=1e-12)


def test_effective_sample_size_agrees_with_the_diagnostics():
    rounds = ragged(2, 50, 2)
    assert Stats.of(rounds).effective_sample_size == pytest.approx(diagnose(rounds).effective_sample_size)


@pytest.mark.parametrize("base", UNTUNED)
def test_cluster_sums_add_up_to_the_value(base):
    rounds = ragged(3, 50, 3)
    sums = cluster_sums(rounds)
    assert len(sums) == rounds.clusters == 5
    assert float(value_of(base, sums.sum(axis=0) / 50)) == pytest.approx(UNTUNED[base](rounds).value)


def test_one_request_has_no_error():
    assert np.isnan(Stats.of(ragged(4, 1, 2)).standard_error("ips"))
