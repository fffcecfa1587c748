"""Identities of the contrastive losses."""

import math

import pytest
import torch

from rlrec.ops.contrast import info_nce, pairwise_loss, row_penalty


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_pairwise_loss_is_ln_2_at_ties_and_shift_invariant():
    scores, others = rows(9), rows(9, seed=1)
    assert pairwise_loss(scores, scores).item() == pytest.approx(math.log(2))
    assert pairwise_loss(scores + 7, others + 7).item() == pytest.approx(pairwise_loss(scores, others).item())
    assert pairwise_loss(scores, others).item() == pytest.approx(
        -torch.log(torch.sigmoid(scores - others)).mean().item()
    )


def test_pairwise_loss_is_finite_far_out():
    assert pairwise_loss(torch.tensor([-1e4]), torch.tensor([1e4])).item() == pytest.approx(2e4)


def test_row_penalty_is_half_the_squares_per_batch_row():
    one, two = rows(3, 4), rows(3, 4, seed=1)
    assert row_penalty(one, two).item() == pytest.approx((one.square().sum() + two.square().sum()).item() / (2 * 3))


def test_info_nce_equals_its_formula():
    anchor, view, temperature = rows(5, 3), rows(5, 3, seed=1), 0.3
    cosine = torch.nn.functional.cosine_similarity(anchor[:, None], view[None], dim=-1)
    weight = torch.exp(cosine / temperature)
    expected = -torch.log(weight.diagonal() / weight.sum(1)).mean()
    assert info_nce(anchor, view, temperature).item() == pytest.approx(expected.item())


def test_info_nce_ignores_lengths_and_order_and_equals_ln_n_without_signal():
    anchor, view = rows(6, 3), rows(6, 3, seed=1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    value = info_nce(anchor, view, 0.2).item()
    assert info_nce(5 * anchor, view / 3, 0.2).item() == pytest.approx(value)
    assert info_nce(anchor[order], view[order], 0.2).item() == pytest.approx(value)
    assert info_nce(torch.ones(6, 3), torch.ones(6, 3), 0.2).item() == pytest.approx(math.log(6))


def test_float32_agrees_with_float64():
    anchor, view = rows(6, 3), rows(6, 3, seed=1)
    assert info_nce(anchor.float(), view.float(), 0.2).item() == pytest.approx(
        info_nce(anchor, view, 0.2).item(), rel=1e-5
    )
