"""The default world does what it says: clicks, propensities and values against frequencies and enumeration."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import norm

from rlrec.ops.slates import discounts, greedy_top_k
from rlrec.simulators import logged_slates as module
from rlrec.simulators.logged_slates import (
    World,
    click_probability,
    greedy_marginals,
    log_requests,
    logging_marginals,
    normal_scores,
    true_value,
)
from tests.enumeration import draw, every_slate, exact_marginals, marginals_of, probabilities

SIGMAS = 4.0
SMALL = World(candidates=6, slate=3, metapath_candidates=0, tail_candidates=0, epsilon=0.2, prefixes=4_000)


@pytest.fixture(scope="module")
def logged():
    """One context in three, asked so often that frequencies tell."""
    logits = draw(3, 6, dtype=torch.float32)
    candidates = torch.tensor([[1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4], [2, 4, 6, 8, 10, 12]])
    click = 0.1 + 0.6 * torch.rand(3, 6, generator=torch.Generator().manual_seed(5))
    marginals, _ = logging_marginals(logits, SMALL, torch.Generator().manual_seed(1))
    log = log_requests(logits, candidates, marginals, click, 40_000, SMALL, torch.Generator().manual_seed(2))
    return logits, candidates, click, marginals, log


def exact(logits: torch.Tensor) -> torch.Tensor:
    """π_0(i at k) of the mixture, by enumeration."""
    every = every_slate(6, 3)
    mixed = (1 - SMALL.epsilon) * probabilities(logits, every) + SMALL.epsilon / every.shape[1]
    return marginals_of(mixed, every, 6)


def places(logged, context: int) -> torch.Tensor:
    _, candidates, _, _, log = logged
    return (log.items[log.context == context].unsqueeze(-1) == candidates[context]).int().argmax(-1)


def test_normal_scores_are_the_quantiles_of_mid_ranks_and_ties_share_one():
    values = np.array([[3.0, 1.0], [2.0, 2.0], [9.0, 2.0]])
    expected = norm.ppf((np.array([[5, 1], [3, 3], [6, 3]]) - 0.5) / 6)
    assert np.allclose(normal_scores(values, 0), expected)


def test_normal_scores_look_at_ranks_alone():
    values = draw(50, 40).numpy()
    assert np.allclose(normal_scores(np.exp(3 * values) + 5, 0), normal_scores(values, 0))
    spread = normal_scores(values, 0)
    assert spread.mean() == pytest.approx(0.0, abs=1e-6)
    assert spread.std() == pytest.approx(1.0, abs=0.01)


def test_normal_scores_from_a_sample_are_close_and_tie_safe(monkeypatch):
    values = np.round(draw(300, 200).numpy(), 1)  # many ties
    whole = normal_scores(values, 0)
    monkeypatch.setattr(module, "EXACT_PAIRS", 1_000)
    monkeypatch.setattr(module, "SAMPLED_PAIRS", 20_000)
    sampled = normal_scores(values, 0)
    assert np.abs(sampled - whole)[np.abs(whole) < 2].max() < 0.05
    assert np.isfinite(sampled).all()
    for value in (0.0, 0.5, values.max()):
        assert len(np.unique(sampled[values == value])) == 1


@pytest.mark.parametrize("mean", [0.05, 0.3])
def test_clicks_have_the_mean_that_was_asked_for_and_follow_the_scores(mean):
    scores = draw(60, 50).numpy()
    world = SMALL.model_copy(update={"mean_click": mean})
    click = click_probability(scores, world)
    assert click.mean() == pytest.approx(mean, rel=1e-4)
    assert 0 < click.min() < click.max() < 1
    assert np.array_equal(np.argsort(click.ravel(), kind="stable"), np.argsort(scores.ravel(), kind="stable"))
    z = normal_scores(scores, 0)
    slope = np.polyfit(z.ravel(), np.log(click / (1 - click)).ravel(), 1)[0]
    assert slope == pytest.approx(world.response_slope, rel=1e-3)


def test_published_scale_of_clicks():
    """99th percentile about 0.42 at a mean of 0.05 and a slope of 1.5."""
    click = click_probability(draw(400, 300).numpy(), World())
    assert np.quantile(click, 0.99) == pytest.approx(0.42, abs=0.02)


def test_marginals_are_those_of_the_mixture(logged):
    logits, _, _, marginals, _ = logged
    found, error = logging_marginals(logits, SMALL, torch.Generator().manual_seed(1))
    assert torch.equal(found, marginals)
    assert 0 < error < 0.01
    for context in range(3):
        assert (marginals[context] - exact(logits[context])).abs().max() < SIGMAS * error
    assert torch.allclose(marginals.sum(2), torch.ones(3, 3), atol=1e-6)
    assert marginals.min() >= SMALL.epsilon / 6


def test_shown_frequencies_match_the_propensities(logged):
    *_, marginals, log = logged
    for context in range(3):
        shown = torch.nn.functional.one_hot(places(logged, context), 6).double().mean(0)
        chance = exact(logged[0][context])
        number = int((log.context == context).sum())
        assert ((shown - chance) / (chance * (1 - chance) / number).sqrt()).abs().max() < SIGMAS
        recorded = marginals[context].gather(1, places(logged, context).T).T
        assert torch.equal(log.propensity[log.context == context], recorded)


def test_exposure_is_the_examined_share(logged):
    logits, *_, log = logged
    theta = discounts(3).double()
    for context in range(3):
        exposure = theta @ exact(logits[context])
        found = log.exposure[log.context == context]
        assert torch.allclose(found.double(), exposure[places(logged, context)], atol=0.02)
        examined = torch.nn.functional.one_hot(places(logged, context), 6).double().mean(0)
        assert torch.allclose(theta @ examined, exposure, atol=0.02)


def test_clicks_follow_theta_times_y(logged):
    _, _, click, _, log = logged
    theta = discounts(3)
    assert set(log.reward.unique().tolist()) == {0.0, 1.0}
    for context in range(3):
        where, reward = places(logged, context), log.reward[log.context == context]
        for k in range(3):
            for place in range(6):
                seen = reward[where[:, k] == place, k]
                chance = theta[k] * click[context, place]
                assert abs(seen.mean() - chance) < SIGMAS * (chance * (1 - chance) / len(seen)) ** 0.5


def test_slates_are_distinct_candidates_request_by_request(logged):
    _, candidates, _, _, log = logged
    assert torch.equal(log.context, torch.arange(3).repeat_interleave(40_000))
    assert (log.items.sort(1).values.diff(dim=1) > 0).all()
    assert (log.items.unsqueeze(-1) == candidates[log.context].unsqueeze(1)).any(-1).all()


def test_true_value_equals_enumeration_and_the_logged_mean(logged):
    logits, _, click, _, log = logged
    every, theta = every_slate(6, 3), discounts(3).double()
    for context in range(3):
        mixed = (1 - SMALL.epsilon) * probabilities(logits[context], every) + SMALL.epsilon / every.shape[1]
        expected = (mixed * (click[context].double()[every[0]] * theta).sum(1)).sum()
        found = true_value(click[[context]], exact(logits[context]).float().unsqueeze(0))
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)
        clicks = log.reward[log.context == context].sum(1)
        assert abs(clicks.mean() - expected) < SIGMAS * clicks.std() / len(clicks) ** 0.5


def test_greedy_policies_have_certain_marginals():
    logits, click = draw(2, 6), torch.rand(2, 6, generator=torch.Generator().manual_seed(0))
    best = greedy_top_k(logits, 3)
    found = true_value(click, greedy_marginals(best, 6))
    assert torch.allclose(found, (click.gather(1, best) * discounts(3)).sum(1))
    peaked = torch.stack([exact_marginals(50 * row, 3) for row in logits]).float()
    assert torch.allclose(true_value(click, peaked), found, atol=1e-3)


def test_the_seed_decides_everything():
    logits, click = draw(2, 6, dtype=torch.float32), torch.full((2, 6), 0.5)
    items = torch.arange(1, 13).view(2, 6)
    marginals, _ = logging_marginals(logits, SMALL, torch.Generator().manual_seed(0))
    logs = [
        log_requests(logits, items, marginals, click, 50, SMALL, torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    ]
    assert torch.equal(logs[0].items, logs[1].items)
    assert torch.equal(logs[0].reward, logs[1].reward)
    assert not torch.equal(logs[0].items, logs[2].items)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": 10}, "add up to 20 of 10 candidates"),
        ({"candidates": 8, "metapath_candidates": 1, "tail_candidates": 1}, "slate is 10"),
    ],
)
def test_a_world_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        World(**changes)
