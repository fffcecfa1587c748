"""Tables become tensors in order, and what would land in the wrong place is refused."""

import polars as pl
import pytest
import torch

from rlrec.batches import State, logged_slates, multi_hot
from rlrec.errors import InputError


def rows(slates: dict[int, tuple[int, list[int]]]) -> pl.DataFrame:
    """LOGGED_SLATES columns for request -> (user, items); rewards, propensities and exposures tell where they were."""
    return pl.DataFrame(
        [
            (request, user, position, item, float(item % 2), item / 100, item / 1000)
            for request, (user, items) in slates.items()
            for position, item in enumerate(items)
        ],
        schema=["request", "user", "position", "item", "reward", "propensity", "exposure"],
        orient="row",
    )


def test_logged_slates_are_sorted_and_point_at_their_context():
    frame = rows({12: (9, [1, 2, 3]), 10: (4, [7, 8, 9]), 11: (9, [4, 5, 6])}).sample(fraction=1, shuffle=True, seed=1)
    found = logged_slates(frame, torch.tensor([4, 7, 9]))
    assert found.items.tolist() == [[7, 8, 9], [4, 5, 6], [1, 2, 3]]
    assert found.context.tolist() == [0, 2, 2]
    assert torch.equal(found.reward, (found.items % 2).float())
    assert torch.allclose(found.propensity, found.items / 100)
    assert torch.allclose(found.exposure, found.items / 1000)


def test_slates_of_different_lengths_are_refused():
    """Three, two and one rows fill two slates of three: they would be read without a murmur."""
    frame = rows({1: (1, [1, 2, 3]), 2: (1, [4, 5]), 3: (1, [6])})
    with pytest.raises(InputError, match="different lengths") as raised:
        logged_slates(frame, torch.tensor([1]))
    assert (raised.value.column, raised.value.rows) == ("position", 3)


def test_multi_hot_leaves_padding_and_masked_entries_out():
    state = State(
        history=torch.tensor([[3, 1, 0], [2, 2, 4]]), mask=torch.tensor([[True, False, False], [True, True, True]])
    )
    assert multi_hot(state, 5).tolist() == [[0, 0, 0, 1, 0], [0, 0, 1, 0, 1]]
    assert len(state) == 2
