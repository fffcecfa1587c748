"""The Dirichlet energy is the edge sum and the Laplacian form, and a constant policy costs nothing."""

import pytest
import torch

from rlrec.ops.smoothness import dirichlet_energy, metapath_penalty, neighbour_places
from tests.enumeration import draw

ITEMS, PATHS, NEIGHBOURS = 12, 2, 3
CANDIDATES = torch.tensor([[3, 7, 1, 9, 11, 4], [2, 5, 8, 6, 10, 12]])


@pytest.fixture
def graph():
    """Directed top-N lists, as they are stored: id 0 with weight 0 fills up, an item is no neighbour of itself."""
    generator = torch.Generator().manual_seed(0)
    neighbours = torch.zeros(PATHS, ITEMS + 1, NEIGHBOURS, dtype=torch.long)
    for path in range(PATHS):
        for item in range(1, ITEMS + 1):
            others = 1 + torch.randperm(ITEMS, generator=generator)
            neighbours[path, item] = others[others != item][:NEIGHBOURS]
    neighbours[0, 5:8, 1:] = 0
    weights = torch.rand(neighbours.shape, generator=generator, dtype=torch.float64) * (neighbours > 0)
    return neighbours, weights


def energies(scores, graph, candidates=CANDIDATES):
    neighbours, weights = graph
    places = neighbour_places(candidates, neighbours, ITEMS + 1)
    return dirichlet_energy(scores, places, weights[:, candidates].to(scores.dtype))


def adjacency(graph, path: int, context: int) -> torch.Tensor:
    """Edges between the candidates of a context, written out; not symmetric."""
    neighbours, weights = graph
    row = CANDIDATES[context].tolist()
    dense = torch.zeros(len(row), len(row), dtype=torch.float64)
    for i, item in enumerate(row):
        for n, other in enumerate(neighbours[path, item].tolist()):
            if other and other in row:
                dense[i, row.index(other)] = weights[path, item, n]
    return dense


def test_neighbour_places_point_at_the_neighbour_or_nowhere(graph):
    neighbours, _ = graph
    places = neighbour_places(CANDIDATES, neighbours, ITEMS + 1)
    for path in range(PATHS):
        for context, row in enumerate(CANDIDATES.tolist()):
            for place, item in enumerate(row):
                for n, other in enumerate(neighbours[path, item].tolist()):
                    assert places[path, context, place, n] == (row.index(other) if other in row else -1)
    padded = torch.tensor([[3, 0, 7]])
    assert (neighbour_places(padded, neighbours, ITEMS + 1)[:, 0, 1] == -1).all()  # padding has no neighbours


def test_energy_is_the_edge_sum_and_the_laplacian_form(graph):
    scores = draw(2, 6)
    found = energies(scores, graph)
    for path in range(PATHS):
        for context in range(2):
            w, s = adjacency(graph, path, context), scores[context]
            edge_sum = sum(w[i, j] * (s[i] - s[j]) ** 2 for i in range(6) for j in range(6)) / 2
            both = (w + w.T) / 2
            scale = 6 / both.sum()  # trace of the degrees is |C|
            laplacian = s @ (scale * (torch.diag(both.sum(1)) - both)) @ s / 6
            assert found[path, context].item() == pytest.approx((edge_sum / w.sum()).item())
            assert found[path, context].item() == pytest.approx(laplacian.item())


def test_energy_is_not_negative_and_costs_nothing_for_constants_or_shifts(graph):
    scores = draw(2, 6)
    assert (energies(scores, graph) > 0).all()
    assert energies(torch.full((2, 6), 3.7, dtype=torch.float64), graph).abs().max() == 0
    assert torch.allclose(energies(scores + draw(2, 1, seed=1), graph), energies(scores, graph))
    assert torch.allclose(energies(3 * scores, graph), 9 * energies(scores, graph))


def test_energy_does_not_depend_on_the_order_of_candidates(graph):
    scores, order = draw(2, 6), draw(6, seed=2).argsort()
    found = energies(scores[:, order], graph, CANDIDATES[:, order])
    assert torch.allclose(found, energies(scores, graph))


def test_contexts_without_an_edge_cost_nothing_and_get_no_gradient(graph):
    scores = draw(2, 6).requires_grad_()
    lonely = (torch.zeros_like(graph[0]), graph[1])
    found = energies(scores, lonely)
    found.sum().backward()
    assert found.abs().max() == 0
    assert scores.grad.abs().max() == 0


def test_gradient_reaches_what_an_edge_joins_and_no_shift(graph):
    scores = draw(2, 6).requires_grad_()
    energies(scores, graph).sum().backward()
    joined = torch.zeros(2, 6, dtype=torch.bool)
    for context in range(2):
        dense = sum(adjacency(graph, path, context) for path in range(PATHS))
        joined[context] = (dense.sum(0) + dense.sum(1)) > 0
    assert torch.equal(scores.grad != 0, joined)
    assert torch.allclose(scores.grad.sum(1), torch.zeros(2, dtype=torch.float64), atol=1e-12)


def test_a_corpus_without_item_graphs_has_no_energies(graph):
    assert energies(draw(2, 6), (graph[0][:0], graph[1][:0])).shape == (0, 2)


def test_energy_is_finite_far_out_and_agrees_in_float32(graph):
    assert torch.isfinite(energies(torch.tensor([[1e4, -1e4, 0, 0, 0, 0.0]] * 2), graph)).all()
    scores = draw(2, 6)
    assert torch.allclose(energies(scores.float(), graph).double(), energies(scores, graph), rtol=1e-5)


def test_metapath_penalty_is_the_learned_mean_plus_the_price_of_collapse():
    energy, preference = draw(3, 4).abs(), draw(3, seed=1)
    beta = torch.softmax(preference, 0)
    collapse = (beta * (beta * 3).log()).sum()
    expected = (beta.unsqueeze(1) * energy).sum(0) + 0.1 * collapse
    assert torch.allclose(metapath_penalty(energy, preference, 0.1), expected)
    equal = metapath_penalty(energy, torch.zeros(3, dtype=torch.float64), 0.1)
    assert torch.allclose(equal, energy.mean(0))


def test_preferences_move_away_from_the_rougher_path_and_back_to_uniform():
    preference = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    energy = torch.tensor([[2.0], [1.0]], dtype=torch.float64)
    metapath_penalty(energy, preference, 0.0).sum().backward()
    assert preference.grad[0] > 0 > preference.grad[1]
    collapsed = torch.tensor([5.0, 0.0], dtype=torch.float64, requires_grad=True)
    metapath_penalty(torch.zeros(2, 1, dtype=torch.float64), collapsed, 1.0).sum().backward()
    assert collapsed.grad[0] > 0 > collapsed.grad[1]
