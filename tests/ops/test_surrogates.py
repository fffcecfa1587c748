"""The clipped surrogate is REINFORCE where nothing has moved, and flat where it has moved far enough."""

import pytest
import torch

from rlrec.ops.ratios import position_ratio, slate_ratio
from rlrec.ops.slates import plackett_luce_log_prob
from rlrec.ops.surrogates import clip_share, clipped_surrogate, reinforce
from tests.enumeration import draw, some_slates

BELOW, ABOVE = 0.2, 0.28


def test_gradient_at_ratio_one_is_reinforce():
    logits, places = draw(3, 8).requires_grad_(), some_slates(3, 4, 5, 8)
    advantage = draw(3, 4, 1, seed=1).expand(3, 4, 5)
    log_prob = plackett_luce_log_prob(logits, places)
    (expected,) = torch.autograd.grad(reinforce(log_prob, advantage).sum(), logits, retain_graph=True)
    for ratio in (position_ratio, slate_ratio):  # a slate's mean log-ratio at K positions is the sum once
        rho = ratio(log_prob, log_prob.detach())
        objective = clipped_surrogate(rho, advantage, BELOW, ABOVE).sum()
        (found,) = torch.autograd.grad(objective, logits, retain_graph=True)
        assert torch.allclose(found, expected, atol=1e-12)
    assert expected.abs().max() > 0.01


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.1, 2.0, 2.2, 2.0),  # inside
        (1.5, 2.0, (1 + ABOVE) * 2.0, 0.0),  # good and already likelier: no more credit
        (1.5, -2.0, -3.0, -2.0),  # bad and likelier: the full price
        (0.5, 2.0, 1.0, 2.0),  # good and less likely: the full credit
        (0.5, -2.0, (1 - BELOW) * -2.0, 0.0),  # bad and already less likely: no more
        (3.0, 0.0, 0.0, 0.0),
    ],
)
def test_clipping_takes_the_pessimistic_side(ratio, advantage, value, slope):
    rho = torch.tensor([ratio], dtype=torch.float64, requires_grad=True)
    found = clipped_surrogate(rho, torch.tensor([advantage], dtype=torch.float64), BELOW, ABOVE)
    found.sum().backward()
    assert found.item() == pytest.approx(value)
    assert rho.grad.item() == pytest.approx(slope)


def test_never_above_the_unclipped_objective():
    rho, advantage = draw(200).exp(), draw(200, seed=1)
    assert (clipped_surrogate(rho, advantage, BELOW, ABOVE) <= rho * advantage + 1e-12).all()


def test_clip_share_counts_where_the_gradient_is_gone():
    rho, advantage = draw(500).exp().requires_grad_(), draw(500, seed=1)
    clipped_surrogate(rho, advantage, BELOW, ABOVE).sum().backward()
    gone = (rho.grad == 0).double().mean()
    assert 0.1 < gone < 0.9
    assert clip_share(rho.detach(), advantage, BELOW, ABOVE).item() == pytest.approx(gone.item())


def test_order_and_precision():
    rho, advantage = draw(30).exp(), draw(30, seed=1)
    order = draw(30, seed=2).argsort()
    found = clipped_surrogate(rho, advantage, BELOW, ABOVE)
    assert torch.equal(clipped_surrogate(rho[order], advantage[order], BELOW, ABOVE), found[order])
    narrow = clipped_surrogate(rho.float(), advantage.float(), BELOW, ABOVE)
    assert torch.allclose(narrow.double(), found, rtol=1e-5)
    assert torch.allclose(reinforce(rho.float(), advantage.float()).double(), reinforce(rho, advantage), rtol=1e-5)
