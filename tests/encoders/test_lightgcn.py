"""LightGCN against powers of the dense adjacency."""

import numpy as np
import pytest
import torch
from scipy import sparse

from rlrec.batches import State
from rlrec.encoders.lightgcn import LightGCN
from rlrec.graph.bipartite import normalised_adjacency
from rlrec.protocols import Encoder

USERS, ITEMS, WIDTH = 7, 9, 4


@pytest.fixture
def graph() -> torch.Tensor:
    dense = (np.random.default_rng(0).random((USERS, ITEMS)) < 0.5).astype(np.float32)
    dense[0], dense[:, 0] = 0, 0
    return normalised_adjacency(sparse.csr_array(dense))


def built(graph: torch.Tensor | None, layers: int, **options: int) -> LightGCN:
    return LightGCN(USERS, ITEMS, WIDTH, layers, graph, generator=torch.Generator().manual_seed(0), **options)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("first", [0, 1])
def test_is_the_mean_of_powers_of_the_adjacency(graph, layers, first):
    model, dense = built(graph, layers, first=first), graph.to_dense()
    powers = [torch.linalg.matrix_power(dense, k) @ model.table for k in range(first, layers + 1)]
    expected = torch.stack(powers).mean(0)
    users, items = model()
    assert torch.allclose(torch.cat([users, items]), expected, atol=1e-6)


def test_without_layers_it_is_matrix_factorisation():
    model = built(None, 0)
    users, items = model()
    assert torch.equal(torch.cat([users, items]), model.table)
    assert model.table[[0, USERS]].count_nonzero() == 0


def test_is_an_encoder_by_user(graph):
    model = built(graph, 2)
    history = torch.ones(3, 2, dtype=torch.long)
    state = State(history, history > 0, user=torch.tensor([2, 5, 2]))
    assert isinstance(model, Encoder)
    assert torch.equal(model.encode(state), model()[0][[2, 5, 2]])
    assert torch.equal(model.items(), model()[1])
    with pytest.raises(ValueError, match="by id"):
        model.encode(State(history, history > 0))


def test_starts_from_its_generator(graph):
    assert torch.equal(built(graph, 2).table, built(graph, 2).table)
    wide = LightGCN(500, 500, 64, 0, None, generator=torch.Generator().manual_seed(1)).table
    assert wide.std().item() == pytest.approx(0.1, rel=0.02)


def test_layers_need_a_graph():
    with pytest.raises(ValueError, match="adjacency"):
        built(None, 1)


def test_checkpoint_holds_the_table_alone(graph):
    assert list(built(graph, 2).state_dict()) == ["table"]
