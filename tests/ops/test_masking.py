"""Means ignore what does not count, whatever stands there."""

import pytest
import torch

from rlrec.ops.masking import masked_mean


def test_equals_mean_of_what_counts():
    values, mask = torch.tensor([[1.0, 5.0, 9.0], [2.0, 4.0, 8.0]]), torch.tensor([[True, False, True], [True] * 3])
    assert masked_mean(values, mask).tolist() == pytest.approx([(1 + 9) / 2, (2 + 4 + 8) / 3])


def test_all_masked_is_zero_and_gradient_stays_out():
    values = torch.tensor([[float("nan"), float("inf")], [1.0, 3.0]], requires_grad=True)
    mask = torch.tensor([[False, False], [True, False]])
    mean = masked_mean(values, mask)
    mean.sum().backward()
    assert mean.tolist() == [0.0, 1.0]
    assert values.grad is not None
    assert torch.equal(values.grad, mask.float())


def test_float32_agrees_with_float64():
    values, mask = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)), torch.rand(5, 7) > 0.5
    assert torch.allclose(masked_mean(values, mask).double(), masked_mean(values.double(), mask))
