from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.errors import InputError
from rlrec.ope.diagnostics import diagnose
from rlrec.ope.estimators import UNTUNED, Estimate, estimate
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import (
    BUCKETS,
    SHARDS,
    Bent,
    Stats,
    below_edges,
    bucket_of,
    edges,
    influence,
    shard_of,
    unit_error,
    unit_sums,
    value_of,
)
from rlrec.ope.transforms import Transform
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
def test_clip_and_switch_at_a_buckets_edge_are_exact(base):
    rounds = ragged(2, 200, 2, users=30)
    half = np.where(rounds.mask & (np.arange(2) == 1), rounds.propensity / 2, rounds.target_probability)
    rounds = replace(rounds, target_probability=half)  # weights of 0.5, which is an edge
    stats = Stats.of(rounds)
    for edge in (0, 12, 16, 20, 40):
        for family, limit in (("clip", edges()[edge]), ("switch", below_edges()[edge])):
            bent = estimate(base, rounds, family=family, parameter=float(limit))
            same_estimate(stats, stats.under(Transform(family, float(limit))), bent, rounds)


ANY = [
    Transform(*one) for one in (("clip", 1.7), ("switch", 1.0), ("os", 3.0), ("sg", 0.3), ("sg", 0.0), ("power", 0.5))
]


@pytest.mark.parametrize("base", UNTUNED)
def test_a_transform_named_beforehand_is_exact(base):
    rounds = ragged(2, 200, 2, users=30)
    stats = Stats.of(rounds, ANY)
    for transform in ANY:
        bent = estimate(base, rounds, family=transform.family, parameter=transform.parameter)
        same_estimate(stats, stats.under(transform), bent, rounds)


def same_estimate(stats: Stats, sums: Bent, bent: Estimate, rounds: Rounds) -> None:
    assert value_of(bent.base, sums.units.sum(axis=0) / stats.n) == pytest.approx(
        bent.value, rel=1e-12, abs=1e-15, nan_ok=True
    )
    error = unit_error(influence(bent.base, sums.units, stats.requests[stats.present]), stats.n)
    assert error == pytest.approx(cluster_error(bent.contributions, rounds), rel=1e-9, nan_ok=True)


def test_transforms_merge_if_named_for_every_part_and_are_asked_for_if_not():
    rounds = ragged(2, 60, 3)
    whole = Stats.of(rounds, ANY)
    pieces = [Stats.of(part(rounds, rows), ANY) for rows in (slice(0, 20), slice(20, 60))]
    merged = Stats.empty(3, ANY) + pieces[0] + pieces[1]
    assert merged.predicted == whole.predicted == (rounds.q_hat[rounds.mask].min(), rounds.q_hat[rounds.mask].max())
    for transform in ANY:
        np.testing.assert_allclose(merged.bent[transform], whole.bent[transform], rtol=1e-12, atol=1e-12)
        by_row = whole.by_row().under(transform)
        assert by_row.squared == pytest.approx(whole.under(transform).squared)
        np.testing.assert_allclose(by_row.units[..., 0], whole.under(transform).units.sum(axis=2))
    with pytest.raises(InputError, match="do not add up"):
        whole + Stats.of(rounds)
    with pytest.raises(InputError, match=r"no sums were made for os, λ = 2"):
        whole.under(Transform("os", 2.0))


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
def test_sums_of_users_add_up_to_the_value(base):
    rounds = ragged(3, 50, 3)
    sums = unit_sums(rounds, np.arange(rounds.clusters))
    assert len(sums) == rounds.clusters == 5
    assert float(value_of(base, sums.sum(axis=0) / 50)) == pytest.approx(UNTUNED[base](rounds).value)


def test_one_user_has_no_error():
    assert np.isnan(Stats.of(ragged(4, 5, 2, users=1)).standard_error("ips"))
