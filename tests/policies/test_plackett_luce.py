"""The law of policies: distinct eligible candidates, per-position log-probabilities whose sum is exact."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from rlrec.batches import State
from rlrec.policies.plackett_luce import PlackettLuce
from rlrec.protocols import Policy
from tests.enumeration import draw, every_slate, probabilities

ITEMS = 8
CANDIDATES = torch.tensor([[3, 7, 1, 5], [2, 8, 6, 0]])  # the second context has three, and padding
SIGMAS = 4.0


@dataclass
class Fixed:
    """A scorer that always says the same, aligned with the candidates."""

    values: Tensor

    def scores(self, state: State) -> Tensor:
        return self.values


def state(candidates: Tensor | None = CANDIDATES, batch: int = 2) -> State:
    empty = torch.zeros(batch, 1, dtype=torch.long)
    return State(history=empty, mask=empty.bool(), candidates=candidates)


def policy(epsilon: float = 0.0, temperature: float = 1.0, never: tuple[int, ...] = (), scores: Tensor | None = None):
    eligible = torch.ones(ITEMS + 1, dtype=torch.bool)
    eligible[[0, *never]] = False
    return PlackettLuce(Fixed(draw(2, 4) if scores is None else scores), temperature, eligible, epsilon)


def test_it_is_a_policy():
    assert isinstance(policy(), Policy)


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_all_slates_add_up_to_one_and_are_the_mixture(epsilon, temperature):
    scores, every = draw(2, 4), every_slate(4, 3)
    slates = CANDIDATES[:1, every[0]]
    found = policy(epsilon, temperature, scores=scores[:1]).log_prob(state(CANDIDATES[:1], 1), slates)
    expected = (1 - epsilon) * probabilities(scores[0] / temperature, every) + epsilon / 24
    assert torch.allclose(found.sum(2).exp()[0], expected, rtol=1e-6)
    assert found.sum(2).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_slates_of_a_smaller_candidate_set_add_up_to_one(epsilon):
    """Padding among the candidates takes no part: three items, six permutations."""
    slates = CANDIDATES[1][every_slate(3, 3)]
    only = CANDIDATES[1:]
    found = policy(epsilon, scores=draw(2, 4)[1:]).log_prob(state(only, 1), slates)
    assert found.sum(2).exp().sum().item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
def test_impossible_items_have_probability_zero_from_there_on(epsilon):
    slates = torch.tensor([[[4, 3, 7], [3, 4, 7], [3, 7, 3], [0, 3, 7], [5, 1, 3]]])
    found = policy(epsilon, never=(5,), scores=draw(2, 4)[:1]).log_prob(state(CANDIDATES[:1], 1), slates)[0]
    zero = torch.isneginf(found)
    assert zero.tolist() == [
        [True, True, True],  # 4 is no candidate
        [False, True, True],
        [False, False, True],  # 3 comes twice
        [True, True, True],  # padding
        [True, True, True],  # 5 is not eligible
    ]
    assert torch.isfinite(found[~zero]).all()


def test_items_that_may_not_be_shown_leave_their_probability_to_the_rest():
    scores = draw(2, 4)[:1]
    found = policy(never=(5,), scores=scores).log_prob(state(CANDIDATES[:1], 1), CANDIDATES[:1, every_slate(3, 2)[0]])
    assert torch.allclose(found.sum(2).exp()[0], probabilities(scores[0, :3], every_slate(3, 2)))


def test_log_prob_does_not_depend_on_the_order_of_candidates_or_a_shift():
    scores, order = draw(2, 4), [2, 0, 3, 1]
    slates = torch.tensor([[[7, 1], [5, 3]], [[6, 2], [2, 8]]])
    found = policy(0.05, scores=scores).log_prob(state(), slates)
    moved = policy(0.05, scores=scores[:, order] + 3).log_prob(state(CANDIDATES[:, order]), slates)
    assert torch.allclose(moved, found)
    assert torch.allclose(policy(0.05, scores=scores).log_prob(state(), slates[:, [1, 0]]), found[:, [1, 0]])


def test_without_candidates_every_eligible_item_may_be_shown():
    whole = policy(0.05, never=(4,), scores=draw(2, ITEMS + 1))
    drawn = whole.sample(state(None), 7, 50, torch.Generator().manual_seed(0))
    assert set(drawn.slates.flatten().tolist()) == {1, 2, 3, 5, 6, 7, 8}
    singles = torch.arange(ITEMS + 1).view(1, -1, 1).expand(2, -1, 1)
    chance = whole.log_prob(state(None), singles).exp()[..., 0]
    assert chance[:, [0, 4]].abs().max() == 0
    assert chance.sum(1).tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_samples_follow_their_log_prob(epsilon):
    number, every = 60_000, every_slate(4, 2)[0]
    mixed = policy(epsilon, scores=3 * draw(2, 4)[:1])
    only = state(CANDIDATES[:1], 1)
    drawn = mixed.sample(only, 2, number, torch.Generator().manual_seed(1))
    slates = CANDIDATES[0, every]
    count = (drawn.slates[0][:, None] == slates[None]).all(-1).sum(0)
    chance = mixed.log_prob(only, slates.unsqueeze(0)).sum(2).exp()[0]
    assert count.sum() == number
    assert (((count / number - chance) / (chance * (1 - chance) / number).sqrt()).abs() < SIGMAS).all()
    assert torch.equal(drawn.log_prob, mixed.log_prob(only, drawn.slates))


def test_samples_are_distinct_eligible_candidates_and_short_sets_are_padded():
    drawn = policy(0.2, never=(5,)).sample(state(), 4, 40, torch.Generator().manual_seed(2))
    for row, allowed in zip(drawn.slates, ({3, 7, 1}, {2, 8, 6}), strict=True):
        assert all(set(slate) == {*allowed, 0} for slate in row.tolist())
    assert torch.equal(drawn.mask, drawn.slates > 0)
    assert drawn.mask.sum(2).unique().tolist() == [3]
    assert (drawn.log_prob[~drawn.mask] == 0).all()
    assert torch.isfinite(drawn.log_prob).all()


def test_samples_follow_the_seed():
    one, two, other = (policy(0.05).sample(state(), 3, 20, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(one.slates, two.slates)
    assert not torch.equal(one.slates, other.slates)


def test_rank_is_the_order_of_scores_over_distinct_eligible_candidates():
    scores = torch.tensor([[0.1, 2.0, 1.0, 5.0], [1.0, 3.0, 2.0, 9.0]])
    ranked = policy(never=(5,), scores=scores).rank(state(), 4)
    assert ranked.tolist() == [[7, 1, 3, 0], [8, 6, 2, 0]]


def test_no_gradient_reaches_what_may_not_be_shown():
    scores = draw(2, 4)[:1].requires_grad_()
    only = state(CANDIDATES[:1], 1)
    found = policy(0.05, never=(5,), scores=scores).log_prob(only, torch.tensor([[[3, 7], [1, 3]]]))
    found.sum().backward()
    assert (scores.grad[0, :3] != 0).all()
    assert scores.grad[0, 3] == 0


def test_finite_far_out():
    scores = torch.tensor([[1e4, 0.0, -1e4, 1.0]] * 2, requires_grad=True)
    found = policy(0.05, scores=scores).log_prob(state(), torch.tensor([[[1, 3, 5]], [[6, 8, 2]]]))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(scores.grad).all()
