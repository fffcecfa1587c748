"""Plackett-Luce slates equal what enumeration gives: probabilities, samples, mixtures, marginals."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlrec.ops import slates
from rlrec.ops.slates import (
    discounts,
    greedy_top_k,
    gumbel_top_k,
    marginal_errors,
    mixture_log_prob,
    places_of,
    plackett_luce_log_prob,
    plackett_luce_marginals,
    reward_to_go,
    standardise,
    uniform_log_prob,
)
from tests.enumeration import draw, every_slate, exact_marginals, marginals_of, probabilities, some_slates

SIZE, K = 5, 3
SIGMAS = 4.0


def measured(logits: torch.Tensor, k: int, prefixes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Marginals, and the standard errors that other prefixes give."""
    return (
        plackett_luce_marginals(logits, k, prefixes, seeded(seed)),
        marginal_errors(logits, k, prefixes, seeded(seed + 1_000)),
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.lists(st.floats(-8, 8), min_size=SIZE, max_size=SIZE))
@settings(max_examples=25, deadline=None)
def test_probabilities_of_all_slates_are_the_definition_and_add_up_to_one(scores):
    logits, every = torch.tensor([scores], dtype=torch.float64), every_slate(SIZE, K)
    found = plackett_luce_log_prob(logits, every).sum(2).exp()[0]
    assert torch.allclose(found, probabilities(logits[0], every), rtol=1e-10, atol=0)
    assert found.sum().item() == pytest.approx(1.0, abs=1e-12)


def test_a_slate_of_all_candidates_is_a_permutation():
    logits, every = draw(1, 4), every_slate(4, 4)
    log_prob = plackett_luce_log_prob(logits, every)
    assert log_prob.sum(2).exp().sum().item() == pytest.approx(1.0)
    assert log_prob[..., -1].abs().max() == 0  # one candidate is left, and it is certain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sampled_frequencies_match(dtype):
    samples, every, logits = 200_000, every_slate(4, 2), draw(1, 4, dtype=torch.float64)
    chance = probabilities(logits[0], every)
    places = gumbel_top_k(logits.to(dtype), 2, samples, seeded())[0]
    count = torch.bincount(places[:, 0] * 4 + places[:, 1], minlength=16)[every[0, :, 0] * 4 + every[0, :, 1]]
    assert count.sum() == samples
    spread = (chance * (1 - chance) / samples).sqrt()
    assert ((count / samples - chance) / spread).abs().max() < SIGMAS


def test_samples_are_distinct_and_follow_the_seed():
    logits = draw(6, 20)
    one, two, other = (gumbel_top_k(logits, 10, 7, seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert (one.sort(2).values.diff(dim=2) > 0).all()


def test_log_prob_ignores_shifts_and_follows_permutations():
    logits, places = draw(3, 9), some_slates(3, 4, 5, 9)
    expected = plackett_luce_log_prob(logits, places)
    assert torch.allclose(plackett_luce_log_prob(logits + draw(3, 1, seed=1), places), expected)
    order = draw(9, seed=2).argsort()
    moved = order.argsort()[places]  # where each place went
    assert torch.allclose(plackett_luce_log_prob(logits[:, order], moved), expected)
    assert torch.allclose(plackett_luce_log_prob(logits, places[:, [2, 0, 3, 1]]), expected[:, [2, 0, 3, 1]])


def test_log_prob_with_equal_scores_is_the_uniform_permutation():
    places = some_slates(2, 3, 4, 7)
    uniform = uniform_log_prob(torch.tensor([7, 7]), 4).unsqueeze(1)
    assert torch.allclose(plackett_luce_log_prob(torch.zeros(2, 7), places), uniform.expand(2, 3, 4))
    assert uniform[0, 0].exp().tolist() == pytest.approx([1 / 7, 1 / 6, 1 / 5, 1 / 4])


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.5, 1.0])
def test_mixture_adds_up_to_the_mixture_of_slates(epsilon):
    logits, every = draw(1, SIZE), every_slate(SIZE, K)
    first = plackett_luce_log_prob(logits, every)
    second = uniform_log_prob(torch.tensor([SIZE]), K).double().unsqueeze(1).expand_as(first)
    mixed = mixture_log_prob(first, second, epsilon)
    expected = (1 - epsilon) * probabilities(logits[0], every) + epsilon / math.perm(SIZE, K)
    assert torch.allclose(mixed.sum(2).exp()[0], expected, rtol=1e-6)
    for j in range(K):  # each prefix by itself, its completions added up
        prefix = mixed[0, :, : j + 1].sum(1).exp()
        same = (every[0][:, None, : j + 1] == every[0][None, :, : j + 1]).all(-1)
        assert torch.allclose(prefix, (same * expected).sum(1), rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_marginals_equal_enumeration(scale):
    logits, prefixes = scale * draw(3, 6), 4_000
    found, error = measured(logits.float(), 4, prefixes)
    exact = torch.stack([exact_marginals(row, 4) for row in logits])
    assert torch.allclose(found.sum(2), torch.ones(3, 4), atol=1e-6)
    assert torch.allclose(found[:, 0], torch.softmax(logits, 1).float(), atol=1e-6)
    assert error[:, 0].max() < 1e-6
    assert (found - exact).abs().max() < SIGMAS * error.max()
    assert error.max() < 0.5 / math.sqrt(prefixes)  # a count's error at a half, the most it can be


def test_reported_standard_error_is_honest():
    repeats, logits = 400, draw(1, 6, seed=3)
    found, error = measured(logits.float().expand(repeats, -1), 3, 200)
    exact = exact_marginals(logits[0], 3)
    z = ((found - exact) / error)[:, 1:]  # position 1 is exact
    assert z.mean(0).abs().max() < SIGMAS / math.sqrt(repeats) * 1.1
    assert torch.allclose(z.std(0), torch.ones(2, 6, dtype=z.dtype), atol=0.2)
    assert (z.abs() > SIGMAS).float().mean() < 0.01


@pytest.mark.parametrize("gap", [15.0, 25.0, 60.0, 5_000.0])
def test_marginals_of_a_peaked_policy_do_not_cancel(gap):
    logits = torch.tensor([[gap, 0.0, 0.5, -1.0]])
    found, error = measured(logits, 3, 500)
    rest = exact_marginals(logits[0, 1:].double(), 2).float()
    assert found[0, 0].tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0], abs=1e-6)
    assert found[0, 1:, 0].abs().max() < 1e-6
    if gap < slates.WIDEST_GAP:  # beyond, what is left counts as equally unlikely
        assert torch.allclose(found[0, 1, 1:], rest[0], atol=1e-5)
    assert torch.isfinite(error).all()
    assert error.max() < 0.05


def test_marginals_do_not_depend_on_how_contexts_are_chunked(monkeypatch):
    logits = draw(5, 6).float()
    exact = torch.stack([exact_marginals(row, 3) for row in logits]).float()
    monkeypatch.setattr(slates, "CHUNK_ELEMENTS", 2 * 3_000 * 6)
    found, error = measured(logits, 3, 3_000)
    assert ((found - exact).abs() <= SIGMAS * error + 1e-6).all()


def test_marginals_agree_with_sampled_slates():
    logits = draw(1, 8)
    places = gumbel_top_k(logits, 5, 100_000, seeded(1))
    counted = marginals_of(torch.full((100_000,), 1e-5, dtype=torch.float64), places, 8)
    found, error = measured(logits.float(), 5, 4_000, seed=2)
    assert ((found[0] - counted).abs() < SIGMAS * (error[0] + (counted / 100_000).sqrt())).all()


def test_greedy_is_the_most_probable_slate_and_ties_keep_their_order():
    logits, every = draw(1, SIZE), every_slate(SIZE, K)
    best = every[0, probabilities(logits[0], every).argmax()]
    assert torch.equal(greedy_top_k(logits, K)[0], best)
    assert greedy_top_k(torch.tensor([[1.0, 2.0, 2.0, 1.0]]), 4).tolist() == [[1, 2, 0, 3]]


def test_discounts_are_logarithmic():
    assert discounts(3).tolist() == pytest.approx([1.0, 1 / math.log2(3), 1 / 2])


def test_reward_to_go_is_what_is_left():
    gain = draw(2, 3, 4)
    to_go = reward_to_go(gain)
    assert torch.allclose(to_go[..., 0], gain.sum(2))
    assert torch.allclose(to_go[..., :-1] - to_go[..., 1:], gain[..., :-1])


def test_standardise():
    scores = 3.0 + 2.0 * draw(4, 50)
    found = standardise(scores)
    assert found.mean(1).abs().max() < 1e-12
    assert torch.allclose(found.pow(2).mean(1).sqrt(), torch.ones(4, dtype=torch.float64))
    assert torch.allclose(standardise(5 * scores + 7), found)
    for value in (0.0, 0.1, 1234.567):  # 0.1 is no binary fraction: its mean is off by a rounding
        assert standardise(torch.full((1, 100), value)).abs().max() == 0


def test_places_of_finds_items_and_says_what_is_missing():
    candidates = torch.tensor([[5, 9, 2], [7, 1, 5]])
    items = torch.tensor([[[9, 5], [2, 4]], [[5, 2], [1, 7]]])
    assert places_of(items, candidates).tolist() == [[[1, 0], [2, -1]], [[2, -1], [1, 0]]]


@pytest.mark.parametrize("places", [[[[0, 1, 2]]], [[[2, 1, 0, 3]]]])
def test_log_prob_is_finite_far_out(places):
    logits = torch.tensor([[1e4, 0.0, -1e4, 3.0]], requires_grad=True)
    found = plackett_luce_log_prob(logits, torch.tensor(places))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.sum().item() == pytest.approx(0.0, abs=1e-3)  # no gradient along a shift


def test_candidates_that_come_after_nothing_get_the_softmax_gradient():
    logits = draw(1, 6).requires_grad_()
    plackett_luce_log_prob(logits, torch.tensor([[[2]]])).sum().backward()
    expected = torch.nn.functional.one_hot(torch.tensor(2), 6) - torch.softmax(logits.detach()[0], 0)
    assert torch.allclose(logits.grad[0], expected)


def test_float32_agrees_with_float64():
    logits, places = 3 * draw(4, 30), some_slates(4, 5, 10, 30)
    wide, narrow = plackett_luce_log_prob(logits, places), plackett_luce_log_prob(logits.float(), places)
    assert torch.allclose(narrow.double(), wide, rtol=1e-5, atol=1e-5)
    uniform = uniform_log_prob(torch.full((4,), 30), 10).unsqueeze(1).expand_as(narrow)
    mixed = [mixture_log_prob(one, uniform.to(one.dtype), 0.05) for one in (wide, narrow)]
    assert torch.allclose(mixed[1].double(), mixed[0], rtol=1e-4, atol=1e-4)
    assert torch.allclose(standardise(logits.float()).double(), standardise(logits), atol=1e-5)
