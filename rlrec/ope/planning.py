"""Before the next log: how many requests a wanted half width needs, and how many fewer if the target serves some.

If a share ε of the requests is served by the target, weights become w/(1 - ε + εw), at most 1/ε, and the second moment
E w'²r² under the new logger is E w w' r² under the old: the present log already knows it, but for actions that it never
shows, whose share `missing_mass` bounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.errors import InputError
from rlrec.ope.estimators import ips
from rlrec.ope.intervals import cluster_error
from rlrec.ope.rounds import Rounds

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Plan:
    """With this share of exploration, so many requests, of users in proportion, give the half width by IPS."""

    exploration: float
    requests: int
    users: int


def plan(rounds: Rounds, half_width: float, level: float = 0.95, shares: Sequence[float] = SHARES) -> list[Plan]:
    """A plan per share of requests that the target policy serves; for slates, which a mixture would couple, only at 0.

    Users come back as they did: the variance is multiplied by clustered over row-level variance.

    Raises:
        InputError: the half width is not positive, a share not in [0, 1), or one user gives no variance.
    """
    rounds.refuse_sampled("a plan")
    if not half_width > 0 or any(not 0 <= share < 1 for share in shares):
        raise InputError("a plan needs a positive half width and shares in [0, 1)", remedy="for example --plan 0.001")
    found = ips(rounds)
    row, user = found.standard_error, cluster_error(found.contributions, rounds)
    if not np.isfinite(user):
        raise InputError("one user tells nothing about the next", column="user", remedy="log more users")
    coupled = (user / row) ** 2 if row > 0 else 1.0
    reach = (float(ndtri(0.5 + level / 2)) / half_width) ** 2
    plans: list[Plan] = []
    for share in shares if rounds.positions == 1 else shares[:1]:
        weight = rounds.weights
        mixed = weight / (1 - share + share * weight)
        second = float((found.contributions**2).mean())
        if share > 0:
            second = float((weight * mixed * rounds.rewards**2).mean())
        requests = int(np.ceil(coupled * max(0.0, second - found.value**2) * reach))
        plans.append(Plan(share, requests, int(np.ceil(requests * rounds.clusters / len(rounds)))))
    return plans
