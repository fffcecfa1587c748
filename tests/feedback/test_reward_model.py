"""The reward model estimates y: examination is divided out by the target and the weight."""

import numpy as np
import pytest
import torch

from rlrec.feedback.reward_model import LOWEST_RATE, RewardModel, binned, quantile_edges
from rlrec.ops.slates import discounts

FIT = {"rounds": 60, "leaves": 4, "learning_rate": 0.1, "smallest_leaf": 50, "seed": 0}


def impressions(number: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two kinds of items; the better kind is shown low on the page, where few look."""
    random = np.random.default_rng(seed)
    kind = random.integers(2, size=number)
    chance = np.where(kind == 1, 0.6, 0.2)
    theta = discounts(10).numpy()[np.where(kind == 1, random.integers(5, 10, number), random.integers(0, 3, number))]
    click = random.random(number) < theta * chance
    features = np.stack([kind, random.random(number)], 1).astype(np.float32)
    return {"features": features, "target": (click / theta).astype(np.float32), "weight": theta}, chance


def test_it_recovers_the_examination_free_click_rate():
    part, _ = impressions(40_000)
    model = RewardModel.fit([part], **FIT)
    grid = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])
    assert model.predict(grid)[0].tolist() == pytest.approx([0.2, 0.6], abs=0.03)


def test_parts_are_put_together_and_the_seed_decides():
    part, _ = impressions(3_000)
    halves = [{name: column[rows] for name, column in part.items()} for rows in (slice(0, 1_500), slice(1_500, None))]
    grid = torch.from_numpy(part["features"][:20]).view(4, 5, 2)
    whole = RewardModel.fit([part], **FIT).predict(grid)
    assert torch.equal(RewardModel.fit(halves, **FIT).predict(grid), whole)
    assert whole.shape == (4, 5)


def test_predictions_stay_probabilities():
    features = np.random.default_rng(0).random((2_000, 1)).astype(np.float32)
    part = {"features": features, "target": np.where(features[:, 0] < 0.5, -0.5, 3.0), "weight": np.ones(2_000)}
    found = RewardModel.fit([part], **FIT).predict(torch.linspace(0, 1, 50).view(1, 50, 1))
    assert found[0, [0, -1]].tolist() == pytest.approx([LOWEST_RATE, 1.0])


def test_few_values_keep_their_own_bins_and_many_keep_their_order():
    rng = np.random.default_rng(0)
    features = np.stack([rng.integers(0, 3, 5000), rng.normal(size=5000)], axis=1).astype(np.float32)
    codes = binned(features, quantile_edges(features, seed=0))
    assert len(set(zip(features[:, 0], codes[:, 0], strict=True))) == 3
    order = np.argsort(features[:, 1])
    assert (np.diff(codes[order, 1]) >= 0).all()
    assert 60 <= len(np.unique(codes[:, 1])) <= 65
