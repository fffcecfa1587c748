"""Weight transforms: five families that trade variance for bias, each ending in the untouched weight."""

from typing import Literal, NamedTuple, assert_never, get_args

import numpy as np
from jaxtyping import Float64

Family = Literal["clip", "switch", "os", "sg", "power"]
FAMILIES: tuple[Family, ...] = get_args(Family)


class Transform(NamedTuple):
    """A member of a family."""

    family: Family
    parameter: float


GRID_POINTS = 40  # of the curve, between the ends; docs/ope.md shows how to read it
GRID_START = 0.05  # quantile of the positive weights where the grid begins
GRID_BEYOND = 1.0001  # past the largest weight: a threshold on an attained weight is decided by rounding


def transformed(weights: Float64[np.ndarray, "..."], family: Family, parameter: float) -> Float64[np.ndarray, "..."]:
    """ŵ(w): clip min(w, λ) · switch w·1{w ≤ λ} · os λw / (w² + λ) · sg w / (1 - λ + λw) · power w^λ.

    Source: clip Ionides 2008; switch Wang et al. 2017; os (optimistic shrinkage) Su et al. 2020;
    sg Metelli et al. 2021 with s = -1; power Korba & Portier 2022.
    """
    match family:
        case "clip":
            return np.minimum(weights, parameter)
        case "switch":
            return np.where(weights <= parameter, weights, 0.0)
        case "os":
            # written without λw, so that λ = inf is the weight itself; at λ = 0 the limit is 0, also for w = 0
            return weights / (1.0 + weights**2 / parameter) if parameter > 0 else np.zeros_like(weights)
        case "sg":
            return weights / (1.0 - parameter + parameter * weights) if parameter < 1 else np.ones_like(weights)
        case "power":
            return weights**parameter
    assert_never(family)


def identity(family: Family) -> float:
    """The parameter at which the family leaves weights as they are."""
    match family:
        case "clip" | "switch" | "os":
            return np.inf
        case "sg":
            return 0.0
        case "power":
            return 1.0
    assert_never(family)


def greatest(family: Family, parameter: float, max_weight: float = np.inf) -> float:
    """sup ŵ over 0 ≤ w ≤ `max_weight`; infinite when nothing bounds it."""
    match family:
        case "clip" | "switch":
            return min(parameter, max_weight)
        case "os":
            if parameter == 0:
                return 0.0
            peak = min(np.sqrt(parameter), max_weight)  # ŵ rises up to w = √λ, where it is √λ/2
            return peak if np.isinf(parameter) else peak / (1.0 + peak**2 / parameter)
        case "sg":
            if parameter == 0:
                return max_weight
            return 1.0 / parameter if np.isinf(max_weight) else max_weight / (1.0 - parameter + parameter * max_weight)
        case "power":
            return max(1.0, max_weight) ** parameter if parameter > 0 else 1.0
    assert_never(family)


def greatest_excess(family: Family, parameter: float) -> float:
    """sup (ŵ - w)₊: 0 for clip, switch and os; sg (1 - √(1-λ))² / λ; power (1-λ)·λ^(λ/(1-λ)).

    Source: the stationary point of ŵ(w) - w; sg at w = (√(1-λ) - (1-λ)) / λ, power at w = λ^(1/(1-λ)).
    """
    match family:
        case "clip" | "switch" | "os":
            return 0.0
        case "sg":
            return (1.0 - np.sqrt(1.0 - parameter)) ** 2 / parameter if parameter > 0 else 0.0
        case "power":
            if parameter in (0.0, 1.0):
                return 1.0 - parameter
            return (1.0 - parameter) * parameter ** (parameter / (1.0 - parameter))
    assert_never(family)


def grid(weights: Float64[np.ndarray, "..."], family: Family, points: int = GRID_POINTS) -> Float64[np.ndarray, "L"]:
    """Parameters from the strongest transform to the identity.

    Thresholds: 0, log-spaced from the 5 % quantile of the positive weights to just past the largest, inf; os: their
    squares. sg and power: equal steps of [0, 1], the last being the untouched weight.
    """
    if family in ("sg", "power"):
        steps = np.linspace(0.0, 1.0, points + 1)
        return 1.0 - steps if family == "sg" else steps
    positive = weights[weights > 0]
    if positive.size == 0:
        return np.array([0.0, np.inf])
    start = float(np.quantile(positive, GRID_START))
    inner = np.geomspace(start, GRID_BEYOND * float(positive.max()), points)
    thresholds = np.concatenate(([0.0], inner, [np.inf]))
    return thresholds**2 if family == "os" else thresholds
