"""Readers that are compared give the same rows, each once; training on them learns."""

import numpy as np
import pytest
import torch

from benchmarks.reading import BATCH, ITEMS, READERS, bpr_step, rate, write_events

ROWS = 30_000


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A folder of events."""
    folder = tmp_path_factory.mktemp("reading") / "events"
    write_events(ROWS, folder)
    return folder


def keys(batches) -> np.ndarray:
    """(user, item) as one number each, in the order read."""
    return np.concatenate([user.numpy() * np.int64(ITEMS + 1) + item.numpy() for user, item in batches])


@pytest.mark.parametrize("name", READERS)
def test_every_row_is_read_once(name, events):
    read, expected = keys(READERS[name](events)), keys(READERS["memory"](events))
    assert len(read) == ROWS
    assert np.array_equal(np.sort(read), np.sort(expected))


@pytest.mark.parametrize("name", [name for name in READERS if name != "scan"])
def test_rows_are_shuffled_into_batches(name, events):
    batches = list(READERS[name](events))
    assert [len(user) for user, _ in batches[:-1]] == [BATCH] * (ROWS // BATCH)
    assert abs(np.corrcoef(keys(batches)[:-1], keys(batches)[1:])[0, 1]) < 0.05


def test_the_rate_counts_rows_and_hands_over_batches():
    batch, seen = (torch.zeros(10), torch.zeros(10)), []
    assert rate([batch, batch], seen.append) > 0
    assert seen == [batch, batch]


def test_training_learns(events):
    step = bpr_step()
    batch = next(READERS["memory"](events))
    losses = [float(step(batch).detach()) for _ in range(60)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])
