"""f(x, i): click probability of an examined item, from logged impressions under the position-based model.

Minimises Σ θ_k (r_k/θ_k - f)², whose minimiser is E[r_k/θ_k | features] = y when E[r_k] = θ_k y: examination is divided
out, so position needs no place among the features. Gradient-boosted trees are scikit-learn's; features are binned
before, because its own binning is slow as soon as there are weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

LOWEST_RATE = 1e-4
BINS = 64
BIN_SAMPLE = 20_000  # impressions that quantiles are taken from


@dataclass(frozen=True)
class RewardModel:
    """A fitted f; `predict` maps [N, C, F] features to [N, C] probabilities."""

    trees: HistGradientBoostingRegressor
    edges: tuple[np.ndarray, ...]

    @staticmethod
    def fit(
        parts: Sequence[Mapping[str, np.ndarray]],
        rounds: int,
        leaves: int,
        learning_rate: float,
        smallest_leaf: int,
        seed: int,
    ) -> "RewardModel":
        """From impressions with `features` [M, F], `target` r/θ [M] and `weight` θ [M]."""
        trees = HistGradientBoostingRegressor(
            max_iter=rounds,
            max_leaf_nodes=leaves,
            learning_rate=learning_rate,
            min_samples_leaf=smallest_leaf,
            early_stopping=False,  # pyright: ignore[reportArgumentType] - scikit-learn documents a bool; inferred from "auto"
            random_state=seed,
        )
        columns = {name: np.concatenate([part[name] for part in parts]) for name in ("features", "target", "weight")}
        edges = quantile_edges(columns["features"], seed)
        trees.fit(binned(columns["features"], edges), columns["target"], sample_weight=columns["weight"])
        return RewardModel(trees, edges)

    def predict(self, features: Float[Tensor, "N C F"]) -> Float[Tensor, "N C"]:
        """f, kept inside [1e-4, 1]."""
        rows = features.reshape(-1, features.shape[-1]).numpy()
        flat = self.trees.predict(binned(rows, self.edges))
        return torch.from_numpy(np.clip(flat, LOWEST_RATE, 1.0)).float().view(features.shape[:2])


def quantile_edges(features: np.ndarray, seed: int) -> tuple[np.ndarray, ...]:
    """For each column of [M, F], at most `BINS` values that occur in it: every distinct one where there are few."""
    sample = features
    if len(features) > BIN_SAMPLE:
        sample = features[np.random.default_rng(seed).choice(len(features), BIN_SAMPLE, replace=False)]
    levels = np.linspace(0.0, 1.0, BINS + 1)[1:]
    return tuple(np.unique(np.quantile(column, levels, method="nearest")) for column in sample.T)


def binned(features: np.ndarray, edges: Sequence[np.ndarray]) -> np.ndarray:
    """How many edges lie at or below each value, as [M, F] numbers."""
    codes = [np.searchsorted(edge, column, side="right") for edge, column in zip(edges, features.T, strict=True)]
    return np.stack(codes, axis=1).astype(np.float32)
