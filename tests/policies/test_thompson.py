"""Thompson sampling: its shares are a doubly stochastic table's columns, and a seed's table is the published one."""

import numpy as np
import pytest

from rlrec.policies.thompson import CHUNK, position_marginals

SEED = 12_345


def legacy(seed: int = SEED) -> np.random.RandomState:
    """The stream of published tables."""
    return np.random.RandomState(seed)


def test_positions_sum_to_one_and_whole_lists_show_every_item_once():
    table = position_marginals(np.array([1.0, 2.0, 5.0]), np.array([9.0, 8.0, 5.0]), 3, 2_000, legacy())
    assert table.sum(axis=0) == pytest.approx(np.ones(3))
    assert table.sum(axis=1) == pytest.approx(np.ones(3))
    assert table[:, 0].argmax() == 2


def test_the_first_of_two_is_the_likelier_by_the_probability_of_two_betas():
    table = position_marginals(np.array([2.0, 1.0]), np.array([1.0, 1.0]), 1, 100_000, legacy())
    assert table[0, 0] == pytest.approx(2 / 3, abs=0.006)  # ∫ 2θ · θ dθ; four standard errors


def test_draws_are_those_of_one_list_after_another():
    alpha, beta, draws = np.array([3.0, 1.0, 7.0]), np.array([40.0, 20.0, 90.0]), CHUNK + 7
    stream, counts = legacy(), np.zeros((3, 2))
    for _ in range(draws):
        for position, item in enumerate(stream.beta(alpha, beta).argsort()[::-1][:2]):
            counts[item, position] += 1
    assert (position_marginals(alpha, beta, 2, draws, legacy()) == counts / draws).all()
