"""Two intervals for IPS that hold at every sample size though nothing bounds the weights: one look, or every look.

Both bound a mean of nonnegative users' sums from below. The upper end is the same bound on hi - r: with E w = 1 (less,
where support is missing) V ≥ lo·K + E Σ_k w(r - lo) and V ≤ hi·K - E Σ_k w(hi - r).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from rlrec.errors import InputError
from rlrec.ope.bounds import Pilot
from rlrec.ope.intervals import Interval, bernstein_margin
from rlrec.ope.rounds import Rounds, over_positions

Array = np.ndarray
Below = Callable[[Float64[Array, "C"], Float64[Array, "C"]], float]

CAPS = 40  # tried on the pilot
LARGEST_BET = 0.5  # of what would be lost at the worst outcome; Waudby-Smith & Ramdas 2024, section 4
HALVINGS = 50


def both_sides(rounds: Rounds, method: str, below: Below) -> tuple[float, float]:
    """The interval whose ends `below` certifies, from each user's Σ w(r - lo)/(hi - lo) and number of shown rows."""
    rounds.refuse_sampled(method)
    if rounds.reward_range is None:
        raise InputError(f"{method} needs a declared reward range", remedy="declare it: --reward-min, --reward-max")
    low, high = rounds.reward_range
    span = high - low
    shown = rounds.cluster_positions
    size = float(shown.sum()) / len(rounds)
    gains, losses = (
        rounds.per_cluster(over_positions(rounds.weights * rounds.shown(part))) / span
        for part in (rounds.rewards - low, high - rounds.rewards)
    )
    least, most = low + span * below(gains, shown), high - span * below(losses, shown)
    return size * min(least, high), size * max(most, low)


def truncated(rounds: Rounds, level: float) -> Interval:
    """mean y - √(2 s² ln(2/δ)/C) - 7c ln(2/δ)/(3(C-1)) with y = min(z, c), z ≥ 0 a user's sum, δ = α/2 on each side.

    c is chosen on a random twentieth of the users, which then leave the bound: E y ≤ E z keeps it valid whatever c is.
    Source: Thomas, Theocharous & Ghavamzadeh 2015, theorem 1 with one threshold.
    """
    failure = (1 - level) / 2
    pilot = Pilot.of(rounds)

    def below(sums: Float64[Array, "C"], shown: Float64[Array, "C"]) -> float:
        tried, kept = sums[pilot.user], sums[~pilot.user]
        if not tried.any() or len(kept) < 2:
            return 0.0
        users = len(kept)
        scale = users / float(shown[~pilot.user].sum())
        caps = np.geomspace(float(tried[tried > 0].min()), 2 * float(tried.max()), CAPS)
        promised = [bound(np.minimum(scale * tried, scale * cap), scale * cap, users) for cap in caps]
        cap = scale * float(caps[int(np.argmax(promised))])
        return max(0.0, bound(np.minimum(scale * kept, cap), cap, users))

    def bound(capped: Float64[Array, "C"], cap: float, users: int) -> float:
        return float(capped.mean()) - bernstein_margin(
            float(capped.var(ddof=min(1, len(capped) - 1))), users, cap, failure
        )

    low, high = both_sides(rounds, "truncated", below)
    return Interval("truncated", level, low, high, "finite")


def betting(rounds: Rounds, level: float) -> Interval:
    """The smallest v per row against which no gambler has become rich: max_t Π_{c≤t} 1 + b_c(z_c - v·shown_c) < 2/α.

    Users come in the order of their first request; b_c depends on earlier users only, and never risks more than
    `LARGEST_BET` of the wealth. The interval holds at every look at a growing log at once, at any size: finite and
    anytime. Source: Waudby-Smith & Ramdas 2024 (betting; the bets of equation 26); Waudby-Smith et al. 2022 (weights).
    """
    order = np.argsort(np.unique(rounds.cluster, return_index=True)[1], kind="stable")
    rich = np.log(2 / (1 - level))

    def below(sums: Float64[Array, "C"], shown: Float64[Array, "C"]) -> float:
        z, rows = sums[order], shown[order]
        seen = np.arange(1, len(z) + 1)
        mean = (0.5 + z.cumsum()) / (1 + rows.cumsum())
        variance = (0.25 + ((z - mean * rows) ** 2).cumsum()) / (1 + seen)
        before = np.concatenate(([0.25], variance[:-1]))
        bets = np.sqrt(2 * rich / (before * seen * np.log1p(seen)))

        def refuted(v: float) -> bool:
            stakes = np.minimum(bets, LARGEST_BET / (v * rows))
            return bool(np.log1p(stakes * (z - v * rows)).cumsum().max() >= rich)

        kept, refused = 1.0, 0.0
        for _ in range(HALVINGS):
            middle = (kept + refused) / 2
            kept, refused = (kept, middle) if refuted(middle) else (middle, refused)
        return refused

    return Interval("betting", level, *both_sides(rounds, "betting", below), "anytime")
