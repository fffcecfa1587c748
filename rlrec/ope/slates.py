"""Slates as Rounds: what each click model needs of the ratio is a choice of weights, and all the rest stays the same.

| estimator | is | right when |
|---|---|---|
| SIPS, SNSIPS | `ips`, `snips` of `by_slate` | always |
| RIPS, SNRIPS | `ips`, `snips` of `by_cascade` | a click depends on what stands above it |
| cascade-DR | `dr` of `by_cascade` with `q_hat`, `q_next` | as RIPS, or where the model is right |
| IIPS, SNIIPS | `ips`, `snips` of `by_position` | a click depends on its item and position |
| PI, SNPI | `pseudoinverse` | the slate's reward is a sum over its items |

Source: Swaminathan et al. 2017 (PI); Li et al. 2018 (IIPS); McInerney et al. 2020 (RIPS); Kiyohara et al. 2022
(cascade-DR). Intervals, curve, bounds and verdict are those of the Rounds: every weight here has mean 1.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from rlrec.errors import InputError
from rlrec.ope.estimators import Estimate, contributions
from rlrec.ope.rounds import Rounds, before_each, over_positions
from rlrec.ope.statistics import is_ratio

Array = np.ndarray
NEGLIGIBLE = (
    1e-10  # of the largest singular value: directions the logger never took; Swaminathan et al. 2017, section 3
)


@dataclass(frozen=True, eq=False)
class SlateLog:
    """Rewards of slates, and both policies' probabilities: of the item at its position, and of the list down to it.

    The last prefix probability shown is the slate's. `gains` weigh positions; rewards are multiplied by them.
    """

    reward: Float64[Array, "N K"]
    logging_marginal: Float64[Array, "N K"]
    target_marginal: Float64[Array, "N K"]
    logging_prefix: Float64[Array, "N K"]
    target_prefix: Float64[Array, "N K"]
    gains: Float64[Array, "K"] | None = None
    mask: Bool[Array, "N K"] | None = None
    cluster: Shaped[Array, "N"] | None = None

    def __post_init__(self) -> None:
        """Refuse prefixes that grow.

        Raises:
            InputError: a longer list is more likely than its beginning.
        """
        for name, prefix in (("logging_prefix", self.logging_prefix), ("target_prefix", self.target_prefix)):
            shown = np.ones(prefix.shape, dtype=bool) if self.mask is None else self.mask
            grows = (np.diff(prefix, axis=1) > 1e-9 * prefix[:, :-1]) & shown[:, 1:]
            if wrong := int(np.count_nonzero(grows.any(axis=1))):
                raise InputError(
                    f"OPE009 {name} rises down the slate",
                    column=name,
                    rows=wrong,
                    remedy="give the probability of the list down to each position",
                )

    def rounds(
        self, propensity: Array, target: Array, q_hat: Array | None = None, q_hat_target: Array | None = None
    ) -> Rounds:
        """These slates under some probabilities."""
        gains = 1.0 if self.gains is None else self.gains
        return Rounds.of(
            self.reward * gains,
            propensity,
            target,
            mask=self.mask,
            cluster=self.cluster,
            q_hat=q_hat,
            q_hat_target=q_hat_target,
        )

    def by_position(self) -> Rounds:
        """u_k = π(item at k) / π₀(item at k)."""
        return self.rounds(self.logging_marginal, self.target_marginal)

    def by_cascade(self, q_hat: Array | None = None, q_next: Array | None = None) -> Rounds:
        """U_k = π(list down to k) / π₀(list down to k).

        `q_hat` predicts the gains from position k on, given the list down to k; `q_next` is its expectation over the
        item that the target policy puts at k, given the list above.
        """
        expected = None
        if q_next is not None:
            mask = np.ones(self.reward.shape, dtype=bool) if self.mask is None else self.mask
            expected = before_each(self.target_prefix / self.logging_prefix, mask) * q_next
        return self.rounds(self.logging_prefix, self.target_prefix, q_hat, expected)

    def by_slate(self) -> Rounds:
        """U_K at every position."""
        last = np.full(len(self.reward), self.reward.shape[1] - 1)
        if self.mask is not None:
            last = self.mask.shape[1] - 1 - self.mask[:, ::-1].argmax(axis=1)
        rows = np.arange(len(last))
        both = (prefix[rows, last][:, None] for prefix in (self.logging_prefix, self.target_prefix))
        return self.rounds(*(np.repeat(one, self.reward.shape[1], axis=1) for one in both))


def product_weights(log: SlateLog) -> Float64[Array, "N"]:
    """PI's weight Σ_k u_k - K + 1, when the logger draws positions independently; may be negative."""
    rounds = log.by_position()
    return over_positions(rounds.weights - rounds.counts) + 1.0


def pseudoinverse_weights(
    indicators: Float64[Array, "M D"], logging: Float64[Array, "M"], target: Float64[Array, "M"]
) -> Float64[Array, "M"]:
    """PI's weight of each slate of one context, for any logger: q_πᵀ Γ⁺ 1_s, Γ = Σ_s π₀(s) 1_s 1_sᵀ, q_π = Σ_s π(s)1_s.

    1_s marks the (position, item) pairs of a slate. Unbiased for additive rewards where Γ spans the target's pairs.
    """
    gamma = indicators.T @ (logging[:, None] * indicators)
    return indicators @ (np.linalg.pinv(gamma, rcond=NEGLIGIBLE, hermitian=True) @ (target @ indicators))


def pseudoinverse(
    log: SlateLog, weights: Float64[Array, "N"], base: Literal["ips", "snips"] = "ips"
) -> tuple[Estimate, Rounds]:
    """PI mean R·v, or SNPI Σ R·v / Σ v, with R the slate's reward; and the Rounds its intervals are asked of."""
    slates = log.by_slate()
    whole = Rounds.of(
        over_positions(slates.rewards), slates.propensity[:, 0], slates.target_probability[:, 0], cluster=slates.cluster
    )
    column = weights[:, None]
    phi = contributions(base, whole, column)
    error = float(np.std(phi, ddof=0 if is_ratio(base) else 1)) / np.sqrt(len(phi)) if len(phi) > 1 else np.nan
    return Estimate("pi" if base == "ips" else "snpi", base, float(phi.mean()), error, phi, weights=column), whole
