"""λ chosen on users who then leave the estimate, so that the interval at the chosen λ is an honest one."""

import numpy as np
from jaxtyping import Bool

from rlrec.errors import InputError
from rlrec.ope.curve import curve
from rlrec.ope.estimators import TUNED
from rlrec.ope.rounds import Rounds
from rlrec.ope.selection import Rule, select
from rlrec.ope.statistics import needs_model

Array = np.ndarray


def set_aside(rounds: Rounds, share: float, seed: int) -> Bool[Array, "N"]:
    """The requests of a random `share` of the users, at least one, and never all.

    Raises:
        InputError: there are not two users.
    """
    users = rounds.clusters
    if users < 2:
        raise InputError("one user cannot be split", column="user", remedy="leave --tune out, or log more users")
    chosen = np.zeros(users, dtype=bool)
    count = int(np.clip(round(share * users), 1, users - 1))
    chosen[np.random.default_rng(seed).choice(users, count, replace=False)] = True
    return chosen[rounds.cluster]


def tuned_on(pilot: Rounds, rule: Rule = "mse_bound", level: float = 0.95) -> list[str]:
    """Every estimator with a parameter, at the one that the rule chooses on these rounds: `dr_clip@2.5`.

    Raises:
        InputError: the rule has nothing to choose by, as the MSE bound without a declared reward range.
    """
    names: list[str] = []
    for name, (base, family) in TUNED.items():
        if needs_model(base) and pilot.q_hat is None:
            continue
        chosen = select(curve(pilot, base, family, level=level), rule)
        if chosen is None:
            raise InputError(
                "a λ cannot be chosen without a bias bound",
                remedy="declare the reward range: --reward-min, --reward-max; rows that were sampled have no bound",
            )
        names.append(f"{name}@{chosen.parameter!r}")
    return names
