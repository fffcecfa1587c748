"""The sparse product equals the dense one, forwards and backwards."""

import warnings

import pytest
import torch

from rlrec.ops.propagation import propagate


@pytest.fixture
def graph() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(6, 4, generator=generator, dtype=torch.float64) * (torch.rand(6, 4, generator=generator) > 0.4)


def csr(dense: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dense.to_sparse_csr()


def test_equals_dense(graph):
    vectors = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(propagate(csr(graph), vectors, csr(graph.T)), graph @ vectors)


def test_gradient_is_the_transpose_product(graph):
    vectors = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(6, 3, dtype=torch.float64)
    propagate(csr(graph), vectors, csr(graph.T)).backward(upstream)
    assert vectors.grad is not None
    assert torch.allclose(vectors.grad, graph.T @ upstream)


def test_gradcheck(graph):
    adjacency, transpose = csr(graph), csr(graph.T)
    vectors = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: propagate(adjacency, x, transpose), (vectors,))


def test_symmetric_needs_no_transpose(graph):
    square = graph @ graph.T
    vectors = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: propagate(csr(square), propagate(csr(square), x)), (vectors,))


def test_float32_agrees_with_float64(graph):
    vectors = torch.randn(4, 3, dtype=torch.float64)
    single = propagate(csr(graph.float()), vectors.float(), csr(graph.T.float()))
    assert torch.allclose(single.double(), graph @ vectors, atol=1e-6)
