"""Means over users with bootstrap intervals, by seed and over seeds, and paired differences; resamples are shared."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tasks.contenders import RL, Row
from tasks.presets import Evaluation


@lru_cache(maxsize=4)
def _resamples(users: int, evaluation: Evaluation) -> np.ndarray:
    """How often each user is drawn in each bootstrap resample, over the number of users: [R, N]; shared by all rows."""
    generator = np.random.default_rng(evaluation.seeds[0])
    return generator.multinomial(users, np.full(users, 1.0 / users), size=evaluation.resamples) / users


def _interval(values: np.ndarray, evaluation: Evaluation) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    means = _resamples(len(values), evaluation) @ values
    tail = (1.0 - evaluation.level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def _grouped(vectors: Sequence[tuple[Row, np.ndarray]]) -> dict[str, list[tuple[Row, np.ndarray]]]:
    groups: dict[str, list[tuple[Row, np.ndarray]]] = {}
    for row, values in vectors:
        groups.setdefault(row.policy, []).append((row, values))
    return groups


def averaged(vectors: Sequence[tuple[Row, np.ndarray]], kind: str, evaluation: Evaluation) -> list[dict[str, Any]]:
    """One row a seed, and the mean over seeds (seed null), each with its bootstrap interval over users."""
    rows: list[dict[str, Any]] = []
    for members in _grouped(vectors).values():
        row = members[0][0]
        mean = np.mean([values for _, values in members], axis=0)
        cells = [(None, mean)] + [(r.seed, values) for r, values in members if r.seed is not None]
        for seed, values in cells:
            low, high = _interval(values, evaluation)
            rows.append(
                {
                    "policy": row.policy, "label": row.label, "fitted_on": row.fitted_on, "seed": seed, "kind": kind,
                    "value": float(values.mean()), "low": low, "high": high,
                }
            )  # fmt: skip
    return rows


def metric_rows(
    measured: Sequence[tuple[Row, Mapping[str, np.ndarray]]], users: int, evaluation: Evaluation
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in measured[0][1]:
        for cell in averaged([(row, values[name]) for row, values in measured], "", evaluation):
            cell.pop("kind")
            rows.append(cell | {"metric": name, "users": users})
    return rows


def differences(
    vectors: Sequence[tuple[Row, np.ndarray]], metric: str, half: str, evaluation: Evaluation
) -> list[dict[str, Any]]:
    """RL, its mean over seeds, minus every other policy, paired by user."""
    groups = {policy: np.mean([v for _, v in members], axis=0) for policy, members in _grouped(vectors).items()}
    rows: list[dict[str, Any]] = []
    for policy, values in groups.items():
        if policy == RL:
            continue
        gap = groups[RL] - values
        low, high = _interval(gap, evaluation)
        rows.append(
            {
                "policy": RL, "reference": policy, "metric": metric, "half": half,
                "difference": float(gap.mean()), "low": low, "high": high,
            }
        )  # fmt: skip
    return rows
