"""f(x, i): click probability of an examined item, from logged impressions under the position-based model.

Minimises Σ θ_k (r_k/θ_k - f)², whose minimiser is E[r_k/θ_k | features] = y when E[r_k] = θ_k y: examination is divided
out, so position needs no place among the features. Gradient-boosted trees are scikit-learn's; features are binned
before, because its own binning is slow as soon as there are weights.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer
from torch import Tensor

LOWEST_RATE = 1e-4
BINS = 64
BIN_SAMPLE = 20_000  # impressions that quantiles are taken from


@dataclass(frozen=True)
class RewardModel:
    """A fitted f; `predict` maps [N, C, F] features to [N, C] probabilities."""

    model: Pipeline

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
        bins = KBinsDiscretizer(
            BINS, encode="ordinal", strategy="quantile", quantile_method="linear", subsample=BIN_SAMPLE,
            random_state=seed, dtype=np.float32,
        )  # fmt: skip
        trees = HistGradientBoostingRegressor(
            max_iter=rounds,
            max_leaf_nodes=leaves,
            learning_rate=learning_rate,
            min_samples_leaf=smallest_leaf,
            early_stopping=False,  # pyright: ignore[reportArgumentType] - scikit-learn documents a bool; inferred from "auto"
            random_state=seed,
        )
        columns = {name: np.concatenate([part[name] for part in parts]) for name in ("features", "target", "weight")}
        model = make_pipeline(bins, trees)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Bins whose width", UserWarning)  # a feature of few values has few bins
            model.fit(
                columns["features"], columns["target"], histgradientboostingregressor__sample_weight=columns["weight"]
            )
        return RewardModel(model)

    def predict(self, features: Float[Tensor, "N C F"]) -> Float[Tensor, "N C"]:
        """f, kept inside [1e-4, 1]."""
        flat = self.model.predict(features.reshape(-1, features.shape[-1]).numpy())
        return torch.from_numpy(np.clip(flat, LOWEST_RATE, 1.0)).float().view(features.shape[:2])
