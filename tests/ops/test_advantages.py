"""Identities of group-relative advantages, and their policy gradient against the exact one."""

import pytest
import torch

from rlrec.ops.advantages import SPREAD_FLOOR, center, degenerate, leave_one_out, rank_to_go, softmax, zscore
from rlrec.ops.slates import plackett_luce_log_prob
from tests.enumeration import draw, every_slate

WHOLE = {"center": center, "zscore": zscore, "loo": leave_one_out, "softmax": softmax}


@pytest.fixture(params=WHOLE)
def advantage(request):
    return WHOLE[request.param]


def test_they_add_up_to_zero_in_every_group(advantage):
    assert advantage(draw(7, 8)).sum(1).abs().max() < 1e-12


def test_they_ignore_a_shift_of_the_rewards(advantage):
    reward = draw(7, 8)
    assert torch.allclose(advantage(reward + draw(7, 1, seed=1)), advantage(reward))


def test_they_keep_the_order_of_the_rewards(advantage):
    reward = draw(7, 8)
    assert torch.equal(advantage(reward).argsort(1), reward.argsort(1))


def test_they_follow_the_order_of_contexts_and_slates(advantage):
    reward = draw(4, 5)
    rows, group = [2, 0, 3, 1], [4, 2, 0, 1, 3]
    assert torch.allclose(advantage(reward[rows][:, group]), advantage(reward)[rows][:, group])


def test_equal_rewards_give_no_advantage(advantage):
    assert advantage(torch.full((2, 4), 0.3, dtype=torch.float64)).abs().max() < 1e-9


def test_float32_agrees_with_float64_and_is_finite_far_out(advantage):
    reward = draw(7, 8)
    assert torch.allclose(advantage(reward.float()).double(), advantage(reward), rtol=1e-4, atol=1e-5)
    assert torch.isfinite(advantage(torch.tensor([[1e4, -1e4, 0.0]]))).all()


def test_formulas():
    reward = draw(3, 4)
    mean = reward.mean(1, keepdim=True)
    assert torch.allclose(zscore(reward), (reward - mean) / (reward.var(1, keepdim=True).sqrt() + SPREAD_FLOOR))
    for g in range(4):
        others = [other for other in range(4) if other != g]
        assert torch.allclose(leave_one_out(reward)[:, g], reward[:, g] - reward[:, others].mean(1))
    weight = torch.exp(reward / 0.5)
    assert torch.allclose(softmax(reward, 0.5), 4 * weight / weight.sum(1, keepdim=True) - 1)
    assert softmax(10 * reward).min() >= -1


def test_rank_to_go_is_the_centred_suffix_sum():
    reward = draw(3, 4, 5)
    found = rank_to_go(reward)
    assert found.sum(1).abs().max() < 1e-12
    for k in range(5):
        assert torch.allclose(found[..., k], center(reward[..., k:].sum(2)))
    assert torch.allclose(rank_to_go(reward + draw(3, 1, 5, seed=1)), found)


def test_degenerate_groups_are_those_without_a_difference():
    reward = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.001], [0.0, 0.0, 0.0]])
    assert degenerate(reward).tolist() == [True, False, True]


@pytest.mark.parametrize(("name", "share"), [("loo", 1.0), ("center", 1 / 2)])
def test_expected_group_gradient_is_the_exact_one(name, share):
    """Over all pairs of slates, G = 2: leave-one-out is unbiased; the group mean shrinks it by (G - 1) / G."""
    every = every_slate(4, 2)
    reward = draw(1, every.shape[1], seed=5)[0]
    logits = draw(1, 4).requires_grad_()
    log_prob = plackett_luce_log_prob(logits, every).sum(2)[0]
    (exact,) = torch.autograd.grad((log_prob.exp() * reward).sum(), logits, retain_graph=True)
    chance = log_prob.detach().exp()
    pairs = torch.cartesian_prod(torch.arange(len(reward)), torch.arange(len(reward)))
    weight = chance[pairs].prod(1, keepdim=True)
    estimate = (weight * WHOLE[name](reward[pairs]) * log_prob[pairs]).sum() / 2
    (found,) = torch.autograd.grad(estimate, logits)
    assert exact.abs().max() > 0.01
    assert torch.allclose(found, share * exact, atol=1e-12)


def test_expected_rank_gradient_is_the_exact_one():
    """Reward-to-go credits each position with what follows: the same expectation, position by position."""
    every = every_slate(4, 2)
    gain = draw(1, 4, seed=5)[0]
    reward = gain[every[0]] * torch.tensor([1.0, 0.6])
    logits = draw(1, 4).requires_grad_()
    log_prob = plackett_luce_log_prob(logits, every)[0]
    (exact,) = torch.autograd.grad((log_prob.sum(1).exp() * reward.sum(1)).sum(), logits, retain_graph=True)
    chance = log_prob.detach().sum(1).exp()
    pairs = torch.cartesian_prod(torch.arange(len(reward)), torch.arange(len(reward)))
    weight = chance[pairs].prod(1).view(-1, 1, 1)
    (found,) = torch.autograd.grad((weight * rank_to_go(reward[pairs]) * log_prob[pairs]).sum() / 2, logits)
    assert torch.allclose(found, exact / 2, atol=1e-12)
