"""Candidate sets keep their quotas, never hold a seen item, and come out the same every time."""

import numpy as np
import pytest
import torch
from scipy import sparse

from rlrec.candidates import ORIGINS, Quotas, choose, hashed, metapath_affinity
from rlrec.errors import InputError
from rlrec.graph.metapaths import MetaPaths
from tests.enumeration import draw

USERS, ITEMS = 40, 200
QUOTAS = Quotas(total=20, metapath=5, tail=4)


@pytest.fixture
def given():
    """Scores, what was seen, affinity to a third of the items, and a tail of the upper half of the ids."""
    generator = torch.Generator().manual_seed(0)
    scores = draw(USERS, ITEMS + 1, dtype=torch.float32)
    seen = torch.rand(USERS, ITEMS + 1, generator=generator) < 0.3
    affinity = torch.rand(USERS, ITEMS + 1, generator=generator)
    affinity = torch.where(affinity > 2 / 3, affinity, 0.0)
    tail = torch.arange(ITEMS + 1) > ITEMS // 2
    return scores, seen, affinity, tail, torch.arange(1, USERS + 1)


def test_quotas_are_kept_and_nothing_is_seen_or_doubled(given):
    _scores, seen, affinity, tail, _users = given
    items, origins = choose(*given, QUOTAS, seed=1)
    assert items.shape == origins.shape == (USERS, QUOTAS.total)
    assert not seen.gather(1, items).any()
    assert (items > 0).all()
    assert (items.sort(1).values.diff(dim=1) > 0).all()
    counts = [(origins == origin).sum(1).unique().tolist() for origin in range(len(ORIGINS))]
    assert counts == [[11], [5], [4]]
    assert (affinity.gather(1, items)[origins == ORIGINS.index("metapath")] > 0).all()
    assert tail[items[origins == ORIGINS.index("tail")]].all()


def test_each_quota_takes_the_best_that_is_left(given):
    scores, seen, affinity, tail, users = given
    items, _ = choose(*given, QUOTAS, seed=1)
    lottery = hashed(users, ITEMS + 1, 1)
    for row in range(USERS):
        left = [i for i in range(1, ITEMS + 1) if not seen[row, i]]
        expected: list[int] = []
        for number, value in ((11, scores[row]), (5, affinity[row]), (4, torch.where(tail, lottery[row], -1.0))):
            best = sorted((i for i in left if i not in expected), key=lambda i: -value[i].item())
            expected += best[:number]
        assert items[row].tolist() == expected


def test_deterministic_and_the_seed_moves_the_tail_alone(given):
    one, again, other = (choose(*given, QUOTAS, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert torch.equal(one[:, :16], other[:, :16])
    assert not torch.equal(one[:, 16:], other[:, 16:])


def test_a_user_has_the_same_candidates_whoever_else_is_asked_for(given):
    whole, _ = choose(*given, QUOTAS, seed=1)
    rows = torch.tensor([7, 3])
    scores, seen, affinity, tail, users = given
    few, _ = choose(scores[rows], seen[rows], affinity[rows], tail, users[rows], QUOTAS, seed=1)
    assert torch.equal(few, whole[rows])


def test_the_tail_is_drawn_evenly_not_by_id(given):
    """The lottery decides among hundreds of tail items; an early id has no better ticket."""
    scores, _seen, affinity, tail, _ = given
    users = torch.arange(1, 2001)
    rows = torch.zeros(len(users), dtype=torch.long)
    quotas = Quotas(total=4, metapath=0, tail=4)
    items, _ = choose(scores[rows], torch.zeros(2000, ITEMS + 1) > 0, affinity[rows], tail, users, quotas, seed=1)
    expected = len(users) * 4 / int(tail.sum())
    count = torch.bincount(items.flatten(), minlength=ITEMS + 1)[tail].float()
    assert (count - expected).abs().max() < 5 * expected**0.5


def test_a_dry_quota_is_filled_by_score(given):
    scores, seen, affinity, tail, users = given
    items, _ = choose(scores, seen, torch.zeros_like(affinity), torch.zeros_like(tail), users, QUOTAS, seed=1)
    best = scores.masked_fill(seen, -torch.inf)
    best[:, 0] = -torch.inf
    assert torch.equal(items, best.topk(QUOTAS.total, dim=1).indices)


def test_too_few_unseen_items_are_an_error_that_says_what_to_set(given):
    scores, seen, affinity, tail, users = given
    seen = seen.clone()
    seen[3, 11:] = True
    with pytest.raises(InputError, match=r"set world.candidates to at most \d+") as raised:
        choose(scores, seen, affinity, tail, users, QUOTAS, seed=1)
    assert raised.value.rows == 1
    assert str(int((~seen[3, 1:]).sum())) in raised.value.problem


def test_numbers_from_the_hash_are_uniform_and_seeds_unrelated():
    users = torch.arange(1, 301)
    one, two = hashed(users, 1000, 1), hashed(users, 1000, 2)
    for numbers in (one, two):
        assert numbers.min() >= 0
        assert numbers.max() < 1
        histogram = torch.histc(numbers, 20, 0.0, 1.0)
        assert (histogram - 15_000).abs().max() < 5 * 15_000**0.5
    for shift in (-1, 0, 1):  # a seed that only shifted the ids would repeat them one place on
        assert np.abs(np.corrcoef(one.flatten(), two.roll(shift, 1).flatten())[0, 1]) < 0.01
    assert torch.equal(hashed(users[5:6], 1000, 1)[0], one[5])


def test_affinity_adds_up_the_weights_from_the_history():
    neighbours = np.zeros((2, 5, 2), dtype=np.int32)
    weights = np.zeros((2, 5, 2), dtype=np.float32)
    neighbours[0, 1], weights[0, 1] = (2, 3), (0.5, 0.25)
    neighbours[0, 2], weights[0, 2] = (3, 0), (0.1, 0.0)
    neighbours[1, 2], weights[1, 2] = (4, 1), (8.0, 2.0)
    history = sparse.csr_array(np.array([[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=np.float32))
    found = metapath_affinity(history, MetaPaths(("a", "b"), neighbours, weights))
    expected = [[0, 2 / 8, 0.5 / 0.5, 0.25 / 0.5 + 0.1 / 0.5, 8 / 8], [0, 0, 0, 0, 0]]
    assert np.allclose(found.numpy(), expected)
