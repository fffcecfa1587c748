"""Trajectories as Rounds: a step is a position, its weight a product of ratios; T may differ from one to the next.

| estimator | is | needs |
|---|---|---|
| TIS, WIS | `ips`, `snips` of `whole` | both policies' probabilities of each action |
| PDIS, WPDIS | `ips`, `snips` of `stepwise` | the same; less noise, as unbiased |
| DR, WDR | `ips`, `snips` of `doubly_robust` | Q of what was done, V of each state: `fitted_q` |
| marginalised IS | `ips` of `stepwise` with `marginal_ratios` | states that recur |
| MWL | `ips` of `stepwise` with `minimax_weights` | features of (state, action); no propensities |
| DRL | `ips` of `doubly_robust` with `marginal_ratios` | both, cross-fitted |

A step that did not happen has reward 0 and the ratio of the last that did, so that a normalised form divides by all.
Source: Precup et al. 2000 (PDIS); Jiang & Li 2016, Thomas & Brunskill 2016 (DR, WDR); Le et al. 2019 (FQE); Xie et al.
2019 (marginalised IS); Uehara et al. 2020 (MWL); Kallus & Uehara 2020 (DRL).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from rlrec.errors import InputError
from rlrec.ope.diagnostics import effective
from rlrec.ope.rounds import Rounds, as_probabilities, before_each

Array = np.ndarray
Predictor = Callable[[Float64[Array, "M D"]], Float64[Array, "M"]]
Regress = Callable[[Float64[Array, "M D"], Float64[Array, "M"]], Predictor]

LEAST_EFFECTIVE_SIZE = 30.0  # trajectories at a step, below which its weights say little; docs/ope.md
SWEEPS = 200
SETTLED = 1e-10
NEGLIGIBLE = 1e-12  # of the largest second moment of features: directions that no logged step has


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Steps from the first, `mask` True while the trajectory lasts; `q_hat` of (s_t, a_t), `v_hat` = E_π Q(s_t, ·)."""

    reward: Float64[Array, "N T"]
    propensity: Float64[Array, "N T"]
    target_probability: Float64[Array, "N T"]
    mask: Bool[Array, "N T"]
    discount: float = 1.0
    cluster: Shaped[Array, "N"] | None = None
    q_hat: Float64[Array, "N T"] | None = None
    v_hat: Float64[Array, "N T"] | None = None

    def __post_init__(self) -> None:
        """Refuse steps with gaps and numbers that are no probabilities.

        Raises:
            InputError: names the column and how many trajectories or steps are wrong.
        """
        if not 0 <= self.discount <= 1:
            raise InputError(f"a discount of {self.discount:g}", remedy="give a number in [0, 1]")
        gaps = (~self.mask[:, 0]) | (np.diff(self.mask.astype(int), axis=1) > 0).any(axis=1)
        if wrong := int(np.count_nonzero(gaps)):
            raise InputError(
                "OPE016 steps are missing", column="step", rows=wrong, remedy="count steps from 0, no gaps"
            )
        for name, least in (("propensity", np.finfo(np.float64).tiny), ("target_probability", 0.0)):
            values = getattr(self, name)
            if wrong := int(np.count_nonzero(~((values >= least) & (values <= 1)) & self.mask)):
                raise InputError(
                    f"{name} is no probability", column=name, rows=wrong, remedy="log what drew the action"
                )

    @property
    def ratios(self) -> Float64[Array, "N T"]:
        """w_t, 1 after the end."""
        return np.where(self.mask, self.target_probability, 1.0) / np.where(self.mask, self.propensity, 1.0)

    @property
    def products(self) -> Float64[Array, "N T"]:
        """ρ_t = w_0 ... w_t."""
        return self.ratios.cumprod(axis=1)

    @property
    def discounts(self) -> Float64[Array, "T"]:
        """d^t."""
        return self.discount ** np.arange(self.reward.shape[1], dtype=np.float64)

    def rounds(self, weights: Float64[Array, "N K"], reward: Float64[Array, "N K"]) -> Rounds:
        """Rounds with these weights."""
        return Rounds.of(reward, *as_probabilities(weights), cluster=self.cluster)

    def whole(self) -> Rounds:
        """ρ of the whole trajectory at every step."""
        last = np.repeat(self.products[:, -1:], self.reward.shape[1], axis=1)
        return self.rounds(last, np.where(self.mask, self.reward, 0.0) * self.discounts)

    def stepwise(self, weights: Float64[Array, "N T"] | None = None) -> Rounds:
        """ρ_t at step t, or other `weights` of (s_t, a_t): estimated, whose error the intervals ignore."""
        used = self.products if weights is None else weights
        rounds = self.rounds(used, np.where(self.mask, self.reward, 0.0) * self.discounts)
        return replace(rounds, propensity_estimated=weights is not None)

    def doubly_robust(self, weights: Float64[Array, "N T"] | None = None) -> Rounds:
        """2T positions: r_t - Q(s_t, a_t) with ρ_t, and V(s_t) with ρ_{t-1}; or with `weights` in place of ρ.

        Raises:
            InputError: there is no model.
        """
        if self.q_hat is None or self.v_hat is None:
            raise InputError("doubly robust forms need q_hat and v_hat", column="q_hat, v_hat", remedy="see fitted_q")
        used = self.products if weights is None else weights
        parts = (self.reward - self.q_hat, self.v_hat)
        reward = np.concatenate([np.where(self.mask, part, 0.0) * self.discounts for part in parts], axis=1)
        return self.rounds(np.concatenate((used, before_each(used, np.ones(used.shape, dtype=bool))), axis=1), reward)


def trusted_steps(trajectories: Trajectories) -> int:
    """How many steps come before the first whose weights are worth fewer than `LEAST_EFFECTIVE_SIZE` trajectories."""
    products = trajectories.products
    sizes = [effective(products[:, step]) for step in range(products.shape[1])]
    weak = np.flatnonzero(np.array(sizes) < LEAST_EFFECTIVE_SIZE)
    return int(weak[0]) if weak.size else len(sizes)


def marginal_ratios(
    trajectories: Trajectories, state: Int64[Array, "N T"], fold: Int64[Array, "N"] | None = None
) -> Float64[Array, "N T"]:
    """ω_t(s_t)·w_t with ω_{t+1}(s') = E[ω_t w_t | s_{t+1} = s'], ω_0 = 1: the odds that the target is in (s, a) at t.

    The end is a state of its own. With `fold`, a trajectory's ω comes from the other folds; a state that they never met
    keeps the trajectory's own product.
    """
    ratios = trajectories.ratios
    known: Int64[Array, "N T"] = np.where(trajectories.mask, state, np.int64(-1))
    found = np.empty_like(ratios)
    for held, learn in splits(fold, len(known)):
        mine, theirs = ratios[held, 0], ratios[learn, 0]
        found[held, 0] = mine
        for step in range(1, known.shape[1]):
            names, place = np.unique(known[learn, step], return_inverse=True)
            mean = np.bincount(place, weights=theirs) / np.bincount(place)
            theirs = mean[place] * ratios[learn, step]
            spot = place_of(known[held, step], names)
            met = names[spot] == known[held, step]
            mine = np.where(met, mean[spot], mine) * ratios[held, step]
            found[held, step] = mine
    return found


def minimax_weights(
    trajectories: Trajectories,
    pairs: Float64[Array, "N T A D"],
    target: Float64[Array, "N T A"],
    action: Int64[Array, "N T"],
    fold: Int64[Array, "N"] | None = None,
) -> Float64[Array, "N T"]:
    """w(s, a) = ψ(s, a)ᵀα by minimax weight learning, f = ψᵀβ its discriminators: no β tells target from weighted log.

    α solves E Σ_t d^t (ψ_t - d·ψ̄_{t+1}) ψ_tᵀ α = E ψ̄_0, with ψ̄ = E_π ψ(s, ·), 0 after the end; in the span of what was
    logged. One ψ per (step, state, action) gives `marginal_ratios`; one per (state, action) the ratio of discounted
    visits, which will do where the end depends on the state and not on the step, but not for normalised forms. Needs no
    propensity. 1 after the end; negative weights, which a poor ψ may give, are 0. `fold` as in `fitted_q`.
    Source: Uehara, Huang & Jiang 2020 (MWL), the linear closed form.
    """
    found = np.ones_like(trajectories.reward)
    for held, learn in splits(fold, len(action)):
        mask = trajectories.mask[learn]
        done, onward, later, likely = transitions(mask, pairs[learn], target[learn], action[learn])
        worth = done * np.broadcast_to(trajectories.discounts, mask.shape)[mask][:, None]
        balance = done.T @ worth
        size, direction = np.linalg.eigh(balance)
        span = direction[:, size > NEGLIGIBLE * size[-1]]
        ahead = np.einsum("la,lad->ld", likely, later)
        balance -= trajectories.discount * ahead.T @ worth[onward]
        first = np.asarray(np.einsum("na,nad->d", target[learn][:, 0], pairs[learn][:, 0]))
        alpha = span @ np.linalg.solve(np.asarray(span.T @ balance @ span), span.T @ first)
        mine = trajectories.mask[held]
        found[held] = np.where(mine, np.maximum(taken(pairs[held], action[held]) @ alpha, 0.0), 1.0)
    return found


def splits(fold: Int64[Array, "N"] | None, count: int) -> Iterator[tuple[Bool[Array, "N"], Bool[Array, "N"]]]:
    """Of each fold: the trajectories held out, and those learned from; all are both where there is one fold."""
    numbers = np.zeros(count, dtype=np.int64) if fold is None else fold
    known = np.unique(numbers)
    for number in known:
        held = numbers == number
        yield held, ~held if len(known) > 1 else held


def taken(values: Shaped[Array, "N T A *D"], action: Int64[Array, "N T"]) -> Shaped[Array, "N T *D"]:
    """What belongs to the action that was taken."""
    return values[(*np.indices(action.shape, sparse=True), action)]


def transitions(
    mask: Bool[Array, "N T"],
    pairs: Float64[Array, "N T A D"],
    target: Float64[Array, "N T A"],
    action: Int64[Array, "N T"],
) -> tuple[Float64[Array, "M D"], Bool[Array, "M"], Float64[Array, "L A D"], Float64[Array, "L A"]]:
    """Of every step ψ(s, a) and whether another follows; of those that follow ψ(s', ·) and π(·|s')."""
    following = np.concatenate((mask[:, 1:], np.zeros((len(mask), 1), dtype=bool)), axis=1)
    later = np.zeros_like(mask)
    later[:, 1:] = mask[:, 1:]
    return taken(pairs, action)[mask], following[mask], pairs[later], target[later]


def place_of(wanted: Int64[Array, "H"], names: Int64[Array, "S"]) -> Int64[Array, "H"]:
    """Where each would stand among the sorted names, the last place at most."""
    return np.minimum(np.searchsorted(names, wanted), np.int64(len(names) - 1))


def fitted_q(
    trajectories: Trajectories,
    pairs: Float64[Array, "N T A D"],
    target: Float64[Array, "N T A"],
    action: Int64[Array, "N T"],
    regress: Regress,
    fold: Int64[Array, "N"] | None = None,
) -> Trajectories:
    """Q and V added by fitted Q evaluation: Q ← regress(r + d·E_π Q(s', ·)) on ψ(s, a), until it settles.

    With `fold`, each trajectory's come from the other folds' Q. The direct method's value is the mean of V(s_0).
    """
    q_hat, v_hat = np.zeros_like(trajectories.reward), np.zeros_like(trajectories.reward)
    width = pairs.shape[-1]
    for held, learn in splits(fold, len(action)):
        mask = trajectories.mask[learn]
        done, onward, later, likely = transitions(mask, pairs[learn], target[learn], action[learn])
        reward, goal = trajectories.reward[learn][mask], trajectories.reward[learn][mask]
        predict = regress(done, goal)
        for _ in range(SWEEPS):
            ahead = (likely * predict(later.reshape(-1, width)).reshape(likely.shape)).sum(axis=1)
            update = reward.copy()
            update[onward] += trajectories.discount * ahead
            settled = float(np.abs(update - goal).max()) < SETTLED
            goal = update
            predict = regress(done, goal)
            if settled:
                break
        every = predict(pairs[held].reshape(-1, width)).reshape(target[held].shape)
        q_hat[held] = taken(every, action[held])
        v_hat[held] = (target[held] * every).sum(axis=2)
    return replace(trajectories, q_hat=q_hat, v_hat=v_hat)
