"""Chain-rule divergences equal enumeration over all slates, and stay exact for peaked policies."""

import pytest
import torch

from rlrec.ops.divergences import chain_rule_entropy, chain_rule_kl, conditional_mean, log_normaliser
from tests.enumeration import conditional, draw, every_slate, probabilities, some_slates

SIZE, K = 5, 3


@pytest.fixture(params=range(3))
def policies(request):
    return draw(1, SIZE, seed=request.param), 2 * draw(1, SIZE, seed=10 + request.param)


def test_kl_equals_enumeration(policies):
    one, other = policies
    every = every_slate(SIZE, K)
    p, q = probabilities(one[0], every), probabilities(other[0], every)
    found = (p * chain_rule_kl(one, other, every)[0]).sum()
    assert found.item() == pytest.approx((p * (p / q).log()).sum().item(), abs=1e-12)
    assert found > 0


def test_entropy_equals_enumeration(policies):
    one, _ = policies
    every = every_slate(SIZE, K)
    p = probabilities(one[0], every)
    found = (p * chain_rule_entropy(one, every)[0]).sum()
    assert found.item() == pytest.approx(-(p * p.log()).sum().item(), abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, SIZE])
def test_conditional_mean_and_normaliser_equal_enumeration(k):
    logits, values, every = draw(1, SIZE), draw(1, SIZE, seed=1), every_slate(SIZE, k)
    means, normalisers = conditional_mean(logits, values, every), log_normaliser(logits, every)
    for g, slate in enumerate(every[0].tolist()):
        for j in range(k):
            left = conditional(logits[0], slate, j)
            assert means[0, g, j].item() == pytest.approx((left * values[0]).sum().item(), abs=1e-12)
            unseen = [i for i in range(SIZE) if i not in slate[:j]]
            assert normalisers[0, g, j].item() == pytest.approx(logits[0, unseen].exp().sum().log().item())


def test_kl_is_zero_to_itself_and_to_a_shift():
    logits, places = draw(4, 20, dtype=torch.float32), some_slates(4, 6, 10, 20)
    assert (chain_rule_kl(logits, logits.clone(), places) == 0).all()
    assert chain_rule_kl(logits.double(), logits.double() + 5, places).abs().max() < 1e-12


def test_every_prefix_term_is_not_negative():
    logits, other, places = 3 * draw(4, 9), 3 * draw(4, 9, seed=1), some_slates(4, 6, 5, 9)
    for j in range(1, 6):
        terms = chain_rule_kl(logits, other, places[..., :j])
        assert (terms > -1e-12).all()
        assert (chain_rule_entropy(logits, places[..., :j]) > -1e-12).all()


def test_order_of_contexts_slates_and_candidates_does_not_matter():
    logits, other, places = draw(3, 8), draw(3, 8, seed=1), some_slates(3, 4, 5, 8)
    kl, entropy = chain_rule_kl(logits, other, places), chain_rule_entropy(logits, places)
    order = draw(8, seed=2).argsort()
    moved = order.argsort()[places]
    assert torch.allclose(chain_rule_kl(logits[:, order], other[:, order], moved), kl)
    assert torch.allclose(chain_rule_entropy(logits[:, order], moved), entropy)
    rows, group = [2, 0, 1], [3, 1, 0, 2]
    assert torch.allclose(chain_rule_kl(logits[rows], other[rows], places[rows][:, group]), kl[rows][:, group])
    assert torch.allclose(chain_rule_entropy(logits[rows], places[rows][:, group]), entropy[rows][:, group])


@pytest.mark.parametrize("gap", [30.0, 200.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_left_behind_a_certain_item_still_counts(gap, dtype):
    """After a candidate that holds all but e^-gap of the mass, the rest must not vanish."""
    rest = torch.tensor([0.0, 0.3, -1.0], dtype=torch.float64)
    logits = torch.cat([torch.tensor([gap], dtype=torch.float64), rest]).to(dtype).unsqueeze(0)
    other, places = torch.zeros_like(logits), torch.tensor([[[0, 1]]])
    left = torch.softmax(rest, 0)
    mean = conditional_mean(logits, logits - other, places)[0, 0, 1].item()
    assert mean == pytest.approx((left * rest).sum().item(), rel=1e-4)
    entropy = chain_rule_entropy(logits, places)[0, 0].item()
    assert entropy == pytest.approx(-(left * left.log()).sum().item(), rel=1e-2)
    kl = chain_rule_kl(logits, other, places)[0, 0].item()
    expected = torch.log(torch.tensor(4.0)) + torch.log(torch.tensor(3.0)) + (left * left.log()).sum()
    assert kl == pytest.approx(expected.item(), rel=1e-2)


@pytest.mark.parametrize("places", [[[[0, 1, 2]]], [[[2, 1, 0, 3]]]])
def test_finite_with_finite_gradients_far_out(places):
    logits = torch.tensor([[1e4, 0.0, -1e4, 3.0]], requires_grad=True)
    chosen = torch.tensor(places)
    total = chain_rule_kl(logits, torch.zeros(1, 4), chosen).sum() + chain_rule_entropy(logits, chosen).sum()
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()


def test_gradients_are_right():
    logits, other, places = draw(2, 6), draw(2, 6, seed=1), some_slates(2, 2, 4, 6)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: chain_rule_kl(s, other, places), logits)
    assert torch.autograd.gradcheck(lambda s: chain_rule_entropy(s, places), logits)


def test_float32_agrees_with_float64():
    logits, other, places = 3 * draw(4, 30), 3 * draw(4, 30, seed=1), some_slates(4, 5, 10, 30)
    kl, entropy = chain_rule_kl(logits, other, places), chain_rule_entropy(logits, places)
    assert torch.allclose(chain_rule_kl(logits.float(), other.float(), places).double(), kl, rtol=1e-4, atol=1e-4)
    assert torch.allclose(chain_rule_entropy(logits.float(), places).double(), entropy, rtol=1e-4, atol=1e-4)
