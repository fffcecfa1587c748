"""Cressie-Read: the likelihood answer to heavy weights. Their mean is known to be 1; users are reweighted to obey it.

Source: Karampatziakis, Langford & Mineiro 2020 (empirical likelihood for contextual bandits), with the Cressie-Read
divergence Σ (nq - 1)² of `vw-estimators`, which has a closed form in sums. Here the observations are users, not rows.
"""

import numpy as np
from jaxtyping import Float64
from scipy.special import fdtri  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.ope.intervals import Interval
from rlrec.ope.rounds import Rounds, over_positions

Array = np.ndarray

REQUESTS, SHOWN, WEIGHT, REWARD = np.eye(4)
SURPLUS = WEIGHT - SHOWN  # mean 0: every shown row has expected weight 1


def units_of(rounds: Rounds) -> Float64[Array, "C 4"]:
    """Of every user: requests, shown rows, Σw, Σwr."""
    rows = (rounds.sizes, over_positions(rounds.weights), over_positions(rounds.weights * rounds.rewards))
    return np.column_stack((rounds.cluster_sizes, *(rounds.per_cluster(values) for values in rows)))


def cressie_read(
    units: Float64[Array, "C 4"],
    mean_reward: float,
    level: float,
    reward_range: tuple[float, float],
    max_weight: float = np.inf,
) -> tuple[float, Interval]:
    """Value and interval of V = E Σ_k r_k from users' sums; units may also be shards of users.

    One user that was not seen joins the C that were, of average size, with weight 0 or `max_weight` on every row and
    any reward of the range. Among all q over these users with Σq = 1 and Σq(Σw - shown) = 0, the value belongs to the q
    nearest to uniform; the interval holds every value whose nearest q is at most F(1, C) quantiles further away.
    `mean_reward` per shown row stands for the rewards of the user not seen. At C = rows, K = 1: vw-estimators' numbers.
    """
    users = len(units)
    first, second = units.sum(axis=0), units.T @ units
    typical = first / users
    size = float(SHOWN @ first / (REQUESTS @ first))

    def joined(weight: float, reward: float) -> tuple[Float64[Array, "4"], Float64[Array, "4 4"]]:
        """Mean and covariance with the user not seen; without, where its weight is infinite."""
        if np.isinf(weight):
            return typical, second / users - np.outer(typical, typical)
        unseen = typical * (REQUESTS + SHOWN) + typical[1] * weight * (WEIGHT + reward * REWARD)
        mean = (first + unseen) / (users + 1)
        return mean, (second + np.outer(unseen, unseen)) / (users + 1) - np.outer(mean, mean)

    missing = max_weight if SURPLUS @ first < 0 else 0.0  # the weight that, once seen, would restore the mean
    mean, spread = joined(missing, mean_reward)
    noise = float(SURPLUS @ spread @ SURPLUS)
    if np.isinf(missing):
        value, distance = float((REWARD - mean_reward * SURPLUS) @ mean / (REQUESTS @ mean)), 1 + 1 / users
    elif noise > 0:
        fitted = mean - (SURPLUS @ mean) / noise * (SURPLUS @ spread)
        value = float(REWARD @ fitted / (REQUESTS @ fitted))
        distance = (1 + users) * float(SURPLUS @ mean) ** 2 / noise
    else:  # every weight is 1
        value, distance = float(REWARD @ mean / (REQUESTS @ mean)), 0.0
    budget = (distance + float(fdtri(1, users, level))) / (1 + users)

    ends: list[float] = []
    for reward, pick in ((reward_range[0], min), (reward_range[1], max)):
        tried = [
            crossing
            for weight in (0.0, max_weight)
            for crossing in crossings(*joined(weight, reward), reward, users if np.isinf(weight) else None, budget)
        ]
        ends.append(float(np.clip(pick(tried, default=reward * size), reward_range[0] * size, reward_range[1] * size)))
    return value, Interval("cressie_read", level, ends[0], ends[1], "asymptotic")


def crossings(
    mean: Float64[Array, "4"], spread: Float64[Array, "4 4"], reward: float, users: int | None, budget: float
) -> tuple[float, ...]:
    """The two values v at which the nearest q with Σq(Σwr - v·requests) = 0 is exactly `budget` away.

    The distance is mᵀS⁻¹m for the moments (surplus, Σwr - v·requests): times |S|, a quadratic in v. With `users` the
    user not seen has infinite weight: it takes up any surplus at `reward`, and one moment is left.
    """
    if users is not None:
        slope, level = -REQUESTS, REWARD - reward * SURPLUS
        allowed = (budget - 1 / users) * users / (1 + users)

        def form(one: Array, two: Array) -> float:
            return float((one @ mean) * (two @ mean) - allowed * (one @ spread @ two))
    else:
        slope, level = -REQUESTS, REWARD
        noise, off = SURPLUS @ spread @ SURPLUS, SURPLUS @ mean

        def form(one: Array, two: Array) -> float:
            a, b = SURPLUS @ spread @ one, SURPLUS @ spread @ two
            x, y = one @ mean, two @ mean
            return float(
                (off**2 - budget * noise) * (one @ spread @ two)
                + budget * a * b
                - off * (x * b + y * a)
                + noise * x * y
            )

        if noise <= 0:
            return ()
    square, half, constant = form(slope, slope), form(slope, level), form(level, level)
    inside = half**2 - square * constant
    if square <= 0 or inside < 0:
        return ()
    root = np.sqrt(inside)
    return float((-half - root) / square), float((-half + root) / square)
