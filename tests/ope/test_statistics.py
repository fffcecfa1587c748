from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.ope.diagnostics import diagnose
from rlrec.ope.estimators import UNTUNED, estimate
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import (
    BUCKETS,
    SHARDS,
    Stats,
    bucket_of,
    cluster_sums,
    edges,
    influence,
    shard_of,
    unit_error,
    value_of,
)
from tests.ope.test_estimators import columns_of, random_rounds


def ragged(seed: int, count: int, k: int, users: int = 5) -> Rounds:
    g = np.random.default_rng(seed)
    mask = g.random((count, k)) > 0.2
    mask[:, 0] = True
    cluster = np.concatenate((np.arange(users), g.integers(0, users, count)))[:count]
    return random_rounds(seed, count=count, k=k, mask=mask, cluster=cluster)


def part(rounds: Rounds, rows: slice) -> Rounds:
    columns = {name: values[rows] for name, values in columns_of(rounds).items() if name != "cluster"}
    return Rounds(**columns, cluster=rounds.cluster[rows])


@pytest.mark.parametrize("base", UNTUNED)
@pytest.mark.parametrize("k", [1, 3])
def test_sums_give_the_same_values_and_errors_as_contributions(base, k):
    rounds = ragged(0, 60, k, users=40)
    assert len(set(shard_of(np.arange(40)))) == 40  # each user has a shard of its own
    stats, found = Stats.of(rounds), UNTUNED[base](rounds)
    assert stats.value(base) == pytest.approx(found.value, rel=1e-12)
    assert stats.standard_error(base) == pytest.approx(cluster_error(found.contributions, rounds), rel=1e-12)
    assert stats.logging_value == pytest.approx((rounds.reward * rounds.mask).sum(axis=1).mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1_000), st.integers(1, 3), st.lists(st.integers(1, 29), max_size=4))
def test_any_split_merges_to_the_whole(seed, k, cuts):
    rounds = ragged(seed, 30, k)
    pieces = [part(rounds, slice(low, high)) for low, high in pairwise(sorted({0, *cuts, 30}))]
    merged = Stats.empty(k)
    for piece in pieces:
        merged = merged + Stats.of(piece)
    whole = Stats.of(rounds) + Stats.empty(k)
    assert merged.n == whole.n == 30
    assert merged.max_weight == whole.max_weight
    np.testing.assert_array_equal(merged.requests, whole.requests)
    np.testing.assert_allclose(merged.cells, whole.cells, rtol=1e-12, atol=1e-12)
    for base in UNTUNED:
        assert merged.standard_error(base) == pytest.approx(whole.standard_error(base), rel=1e-9)


def test_parts_keep_what_is_true_of_any_or_of_all():
    modelled = ragged(5, 20, 1)
    estimated = Rounds.of(
        modelled.reward, modelled.propensity, modelled.target_probability / 2, propensity_estimated=True
    )
    for one, two in ((modelled, estimated), (estimated, modelled)):
        both = Stats.of(one) + Stats.of(two)
        assert both.estimated_rows == 20
        assert not both.has_model
        assert both.max_weight == modelled.weights.max()


@pytest.mark.parametrize("base", UNTUNED)
def test_by_row_every_row_is_a_request(base):
    rounds = ragged(6, 60, 3, users=40)
    rows = {k: v[rounds.mask] for k, v in columns_of(rounds).items() if k not in ("mask", "cluster")}
    alone = Rounds.of(**rows, cluster=np.repeat(rounds.cluster, 3)[rounds.mask.reshape(-1)])
    found, stats = UNTUNED[base](alone), Stats.of(rounds).by_row()
    assert stats.value(base) == pytest.approx(found.value, rel=1e-12)
    assert stats.standard_error(base) == pytest.approx(cluster_error(found.contributions, alone), rel=1e-12)


def test_chunks_do_not_show(monkeypatch):
    rounds = ragged(1, 50, 2)
    whole = Stats.of(rounds)
    monkeypatch.setattr("rlrec.ope.statistics.CHUNK", 7)
    np.testing.assert_allclose(Stats.of(rounds).cells, whole.cells, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("base", UNTUNED)
def test_a_clip_at_a_buckets_edge_is_exact(base):
    rounds = ragged(2, 200, 2, users=30)
    stats = Stats.of(rounds)
    requests = stats.requests[stats.present]
    for edge in (0, 12, 16, 20, 40):
        limit = float(edges()[edge])
        bent, units = estimate(base, rounds, family="clip", parameter=limit), stats.clipped(edge)
        assert value_of(base, units.sum(axis=0) / stats.n) == pytest.approx(bent.value, rel=1e-12, abs=1e-15)
        error = unit_error(influence(base, units, requests), stats.n)
        assert error == pytest.approx(cluster_error(bent.contributions, rounds), rel=1e-9)


def test_buckets_lie_between_their_edges():
    weights = np.array([0.0, 1e-9, 2**-4, 0.9, 1.0, 1.1, 2.0, 1e9])
    place = bucket_of(weights)
    np.testing.assert_array_equal(place[[0, 1, 2, 7]], [0, 1, 2, BUCKETS - 1])
    inner = slice(2, 7)
    lower, upper = edges()[place[inner] - 2], edges()[place[inner] - 1]
    assert ((lower <= weights[inner]) & (weights[inner] < upper)).all()


def test_users_spread_evenly_over_shards_whatever_their_numbers():
    many = np.arange(100_000)
    for users in (many, many * 1_000, (1 << 60) + (many << 20), many << 33):
        sizes = np.bincount(shard_of(users), minlength=SHARDS)
        assert len(sizes) == SHARDS
        assert 40 < sizes.min() <= sizes.max() < 180


def test_effective_sample_size_agrees_with_the_diagnostics():
    rounds = ragged(2, 50, 2)
    assert Stats.of(rounds).effective_sample_size == pytest.approx(diagnose(rounds).effective_sample_size)


@pytest.mark.parametrize("base", UNTUNED)
def test_cluster_sums_add_up_to_the_value(base):
    rounds = ragged(3, 50, 3)
    sums = cluster_sums(rounds)
    assert len(sums) == rounds.clusters == 5
    assert float(value_of(base, sums.sum(axis=0) / 50)) == pytest.approx(UNTUNED[base](rounds).value)


def test_one_user_has_no_error():
    assert np.isnan(Stats.of(ragged(4, 5, 2, users=1)).standard_error("ips"))
