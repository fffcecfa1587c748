"""The actor starts as Stage A exactly, treats candidates alike, and finds the context of a user."""

import pytest
import torch

from rlrec.batches import Contexts, State
from rlrec.encoders.candidate_scorer import CandidateScorer, ContextScorer
from rlrec.protocols import Scorer
from tests.enumeration import draw

BATCH, SIZE, FEATURES = 4, 6, 3


def scorer(seed: int = 0) -> CandidateScorer:
    return CandidateScorer(FEATURES, 8, 2, torch.Generator().manual_seed(seed))


def trained(seed: int = 0) -> CandidateScorer:
    """A scorer whose last layer has left zero."""
    found = scorer(seed)
    with torch.no_grad():
        found.correction[-1].weight.copy_(draw(1, 8, seed=seed, dtype=torch.float32))
    return found


@pytest.fixture
def contexts():
    items = torch.arange(1, BATCH * SIZE + 1).view(BATCH, SIZE)
    user = torch.tensor([5, 2, 9, 3])
    return Contexts(
        user,
        items,
        draw(BATCH, SIZE, dtype=torch.float32),
        3 + 2 * draw(BATCH, SIZE, FEATURES, seed=1, dtype=torch.float32),
    )


def test_step_zero_is_stage_a_exactly(contexts):
    fresh = scorer()
    fresh.standardise_by(contexts.features)
    assert torch.equal(fresh(contexts.base, contexts.features), contexts.base)


def test_gradient_reaches_the_last_layer_at_step_zero(contexts):
    fresh = scorer()
    fresh(contexts.base, contexts.features)[0, 0].backward()
    assert fresh.correction[-1].weight.grad.abs().max() > 0
    assert {name for name, _ in fresh.named_buffers()} == {"centre", "scale"}


def test_candidates_are_treated_alike(contexts):
    order, actor = [3, 1, 5, 0, 2, 4], trained()
    found = actor(contexts.base, contexts.features)
    assert torch.allclose(actor(contexts.base[:, order], contexts.features[:, order]), found[:, order])
    assert torch.allclose(actor(contexts.base[[2]], contexts.features[[2]]), found[[2]], atol=1e-6)


def test_units_of_the_features_do_not_matter(contexts):
    one, other = trained(), trained()
    one.standardise_by(contexts.features)
    moved = contexts.features * torch.tensor([10.0, 0.1, 3.0]) - torch.tensor([5.0, 0.0, 1.0])
    other.standardise_by(moved)
    assert torch.allclose(other(contexts.base, moved), one(contexts.base, contexts.features), atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 12_345.678])
def test_a_feature_that_never_varied_is_not_blown_up_later(contexts, value):
    features = contexts.features.clone()
    features[..., 1] = value
    actor = trained()
    actor.standardise_by(features)
    assert actor.scale[1] == 1
    later = features.clone()
    later[..., 1] += 0.5
    apart = (later - actor.centre) / actor.scale
    assert apart[..., 1].abs().max() <= 1.0


def test_weights_follow_the_generator():
    one, again, other = (scorer(seed).state_dict()["correction.0.weight"] for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_contexts_are_looked_up_by_user(contexts):
    found = ContextScorer(trained(), contexts)
    assert isinstance(found, Scorer)
    state = found.state(torch.tensor([9, 5]))
    assert torch.equal(state.candidates, contexts.candidates[[2, 0]])
    expected = found.scorer(contexts.base, contexts.features)[[2, 0]]
    assert torch.allclose(found.scores(state), expected, atol=1e-6)


def test_scores_align_with_the_candidates_of_the_state(contexts):
    found = ContextScorer(trained(), contexts)
    state = found.state(torch.tensor([9, 5]))
    order = [4, 0, 2]
    some = State(state.history, state.mask, state.user, state.candidates[:, order])
    assert torch.equal(found.scores(some), found.scores(state)[:, order])


def test_what_is_not_stored_is_an_error(contexts):
    found = ContextScorer(trained(), contexts)
    state = found.state(torch.tensor([9]))
    for user in (0, 4, 10):
        with pytest.raises(ValueError, match=f"no stored context for the users \\[{user}\\]"):
            found.state(torch.tensor([user]))
    with pytest.raises(ValueError, match="has not"):
        found.scores(State(state.history, state.mask, state.user, torch.tensor([[1]])))
    with pytest.raises(ValueError, match="must name both"):
        found.scores(State(state.history, state.mask))
