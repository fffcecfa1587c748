"""Importance ratios: what they are, and where the two kinds meet."""

import pytest
import torch

from rlrec.ops.ratios import position_ratio, slate_ratio
from rlrec.ops.slates import plackett_luce_log_prob
from tests.enumeration import draw, every_slate

KINDS = (position_ratio, slate_ratio)


@pytest.mark.parametrize("ratio", KINDS)
def test_one_where_nothing_moved(ratio):
    log_prob = draw(2, 3, 4)
    assert torch.equal(ratio(log_prob, log_prob), torch.ones(2, 3, 4, dtype=torch.float64))


def test_position_ratios_multiply_to_the_ratio_of_slates():
    new, old = draw(2, 3, 4), draw(2, 3, 4, seed=1)
    assert torch.allclose(position_ratio(new, old).prod(2), (new.sum(2) - old.sum(2)).exp())


def test_slate_ratio_is_the_geometric_mean_at_every_position():
    new, old = draw(2, 3, 4), draw(2, 3, 4, seed=1)
    mean = position_ratio(new, old).prod(2) ** (1 / 4)
    assert torch.allclose(slate_ratio(new, old), mean.unsqueeze(2).expand(2, 3, 4))


def test_slates_of_one_position_have_one_ratio():
    new, old = draw(2, 3, 1), draw(2, 3, 1, seed=1)
    assert torch.allclose(position_ratio(new, old), slate_ratio(new, old))


def test_expected_position_ratio_given_the_prefix_is_one():
    every = every_slate(5, 3)
    new, old = (plackett_luce_log_prob(draw(1, 5, seed=seed), every) for seed in (0, 1))
    prefixes = position_ratio(new, old).cumprod(2)
    assert torch.allclose((old.sum(2, keepdim=True).exp() * prefixes).sum(1), torch.ones(1, 3, dtype=torch.float64))


@pytest.mark.parametrize("ratio", KINDS)
def test_order_and_precision(ratio):
    new, old = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    rows, group = [2, 0, 1], [3, 1, 0, 2]
    assert torch.allclose(ratio(new[rows][:, group], old[rows][:, group]), ratio(new, old)[rows][:, group])
    assert torch.allclose(ratio(new.float(), old.float()).double(), ratio(new, old), rtol=1e-5)
