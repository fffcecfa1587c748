"""Before the next log: how many requests a wanted half width needs, and how many fewer if the target serves some.

If a share ε of the requests is served by the target, weights become w/(1 - ε + εw), at most 1/ε, and the second moment
E w'²r² under the new logger is E w w' r² under the old: the present log already knows it, but for actions that it never
shows, whose share `missing_mass` bounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.errors import InputError
from rlrec.ope.estimators import ips
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds
from rlrec.ope.statistics import BENT_SUMS, Stats
from rlrec.ope.transforms import Transform, transformed

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
MIXTURES = tuple(Transform("sg", share) for share in SHARES)  # what sums must be made under: w/(1 - ε + εw)
SECOND_MOMENT = BENT_SUMS.index("second_moment")


@dataclass(frozen=True)
class Plan:
    """With this share of exploration, so many requests, of users in proportion, give the half width by IPS.

    `users` is None where the log's users were not told apart.
    """

    exploration: float
    requests: int
    users: int | None


def plan(rounds: Rounds, half_width: float, level: float = 0.95, shares: Sequence[float] = SHARES) -> list[Plan]:
    """A plan per share of requests that the target policy serves; for slates, which a mixture would couple, only at 0.

    Users come back as they did: the variance is multiplied by clustered over row-level variance.

    Raises:
        InputError: the half width is not positive, a share not in [0, 1), or one user gives no variance.
    """
    rounds.refuse_sampled("a plan")
    asked = served(half_width, shares, rounds.positions)
    found, weight = ips(rounds), rounds.weights
    second = {share: float((weight * transformed(weight, "sg", share) * rounds.rewards**2).mean()) for share in asked}
    if 0.0 in second:  # of slates too, whose positions have covariances
        second[0.0] = float((found.contributions**2).mean())
    errors = found.standard_error, cluster_error(found.contributions, rounds)
    return foreseen(second, found.value, errors, rounds.clusters / len(rounds), half_width, level)


def plan_of_stats(stats: Stats, half_width: float, level: float = 0.95, shares: Sequence[float] = SHARES) -> list[Plan]:
    """The same from sums that were made under `MIXTURES`, shards for users; how many users, they cannot tell.

    Raises:
        InputError: as `plan`.
    """
    positions = stats.cells.shape[1]
    asked = served(half_width, shares, positions)
    value, error = stats.value("ips"), stats.standard_error("ips")
    if positions > 1:  # what is multiplied and divided by cancels: the clustered variance is all that counts
        return foreseen(
            dict.fromkeys(asked, value**2 + error**2 * (stats.n - 1)), value, (error, error), None, half_width, level
        )
    second = {
        share: float(stats.bent[Transform("sg", share)][..., SECOND_MOMENT].sum()) / stats.n for share in (0.0, *asked)
    }
    row = float(np.sqrt(max(0.0, second[0.0] - value**2) / max(stats.n - 1, 1)))
    return foreseen({share: second[share] for share in asked}, value, (row, error), None, half_width, level)


def served(half_width: float, shares: Sequence[float], positions: int) -> Sequence[float]:
    """The shares to plan for."""
    if not half_width > 0 or any(not 0 <= share < 1 for share in shares):
        raise InputError("a plan needs a positive half width and shares in [0, 1)", remedy="for example --plan 0.001")
    return shares if positions == 1 else [share for share in shares if share == 0]


def foreseen(
    second: Mapping[float, float],
    value: float,
    errors: tuple[float, float],
    of_users: float | None,
    half_width: float,
    level: float,
) -> list[Plan]:
    """From the second moment by share, the value, the row-level and the clustered error, and users a request."""
    row, user = errors
    if not np.isfinite(user):
        raise InputError("one user tells nothing about the next", column="user", remedy="log more users")
    coupled = (user / row) ** 2 if row > 0 else 1.0
    reach = (float(ndtri(0.5 + level / 2)) / half_width) ** 2
    plans: list[Plan] = []
    for share, moment in second.items():
        requests = int(np.ceil(coupled * max(0.0, moment - value**2) * reach))
        plans.append(Plan(share, requests, None if of_users is None else int(np.ceil(requests * of_users))))
    return plans
