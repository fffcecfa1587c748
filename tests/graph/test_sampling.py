"""Negatives are exactly uniform over what a user has not liked."""

import numpy as np
import torch
from scipy import sparse
from scipy.stats import chisquare

from rlrec.graph.sampling import Pairs

DRAWS = 20_000


def matrix(seed: int = 0, users: int = 8, items: int = 12) -> sparse.csr_array:
    dense = (np.random.default_rng(seed).random((users, items)) < 0.4).astype(np.float32)
    dense[0], dense[:, 0] = 0, 0
    dense[1, 1:] = 1  # likes everything
    dense[2] = 0  # likes nothing
    dense[3, 1:] = 1
    dense[3, 7] = 0  # has one negative
    return sparse.csr_array(dense)


def test_pairs_are_the_entries():
    liked = matrix()
    pairs = Pairs.of(liked)
    assert np.array_equal(np.stack(liked.nonzero()), torch.stack([pairs.users, pairs.items]).numpy())


def test_every_negative_is_equally_likely_and_none_is_liked():
    liked = matrix()
    pairs, generator = Pairs.of(liked), torch.Generator().manual_seed(0)
    for user in range(2, 8):
        drawn = pairs.negatives(torch.full((DRAWS,), user), generator)
        counts = np.bincount(drawn.numpy(), minlength=12)
        free = (liked.toarray()[user] == 0) & (np.arange(12) > 0)
        assert counts[~free].sum() == 0
        assert counts[free].sum() == DRAWS
        assert free.sum() == 1 or chisquare(counts[free]).pvalue > 1e-3


def test_batches_visit_each_rankable_pair_once():
    liked = matrix()
    pairs = Pairs.of(liked)
    found = [torch.stack(batch) for batch in pairs.batches(5, torch.Generator().manual_seed(0))]
    users, items, others = torch.cat(found, dim=1).numpy()
    expected = [(u, i) for u, i in zip(*liked.nonzero(), strict=True) if u != 1]
    assert sorted(zip(users, items, strict=True)) == expected
    assert (liked.toarray()[users, others] == 0).all()
    assert (others > 0).all()
    assert max(batch.shape[1] for batch in found) == 5
