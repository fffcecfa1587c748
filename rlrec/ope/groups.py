"""Re-rankers judged inside their candidates: the in-group estimator, and what it does not estimate.

Inside a request's candidates C the shown item had propensity p_C = p/κ, κ = Σ_{b in C} π₀(b|x), and the target policy
is a softmax over C. Weights stay near |C|, because the question is a smaller one: what would re-ranking *these*
candidates earn, on *these* requests, those whose shown item is in C? Requests come in by κ, so the answer is not the
value over the catalogue; `over_catalogue` is, restricted to C. Report both, and the coverage.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from rlrec.errors import InputError
from rlrec.ope.rounds import Rounds

Array = np.ndarray
OUTSIDE = -1  # the place of a shown item that is no candidate


@dataclass(frozen=True, eq=False)
class GroupLog:
    """Per request: what the shown item earned, its propensity over the catalogue, the candidates' scores, its place.

    `mask` True counts; `shown` is the place among the candidates or `OUTSIDE`. `kappa` is the logger's total
    probability of the candidates, 1 if it drew from them alone. `q` predicts every candidate's reward. Several items
    shown in one request are rows of one cluster. Requests are never normalised one by one: one action would cancel.
    """

    reward: Float64[Array, "N"]
    propensity: Float64[Array, "N"]
    scores: Float64[Array, "N C"]
    mask: Bool[Array, "N C"]
    shown: Int64[Array, "N"]
    kappa: Float64[Array, "N"] | None = None
    q: Float64[Array, "N C"] | None = None
    cluster: Shaped[Array, "N"] | None = None
    reward_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Refuse what was shown at a place without a candidate, and a κ below the propensity inside.

        Raises:
            InputError: with the number of rows.
        """
        inside = self.shown != OUTSIDE
        place = np.clip(self.shown, 0, self.mask.shape[1] - 1)
        wrong = inside & ((place != self.shown) | ~self.mask[np.arange(len(place)), place])
        if count := int(np.count_nonzero(wrong)):
            raise InputError("OPE012 the shown item is no candidate", column="shown", rows=count, remedy="use OUTSIDE")
        short = inside & (self.propensity > self.mass * (1 + 1e-9))
        if count := int(np.count_nonzero(short)):
            raise InputError(
                "OPE012 candidates are less likely than the one shown",
                column="kappa",
                rows=count,
                remedy="sum π₀ over C",
            )

    @property
    def mass(self) -> Float64[Array, "N"]:
        """κ."""
        return np.ones(len(self.reward)) if self.kappa is None else self.kappa

    @property
    def coverage(self) -> float:
        """Share of requests whose shown item is a candidate."""
        return np.count_nonzero(self.shown != OUTSIDE) / len(self.shown)

    def probabilities(self, temperature: float) -> Float64[Array, "N C"]:
        """π_τ(b|x, C) = exp(s_b/τ) / Σ_C exp(s/τ); all on the best at τ = 0, shared if several are."""
        scores = np.where(self.mask, self.scores, -np.inf)
        above = scores - scores.max(axis=1, keepdims=True)
        weight = (above == 0).astype(np.float64) if temperature == 0 else np.exp(above / temperature)
        return weight / weight.sum(axis=1, keepdims=True)

    def in_group(self, temperature: float, max_weight: float | None = None) -> Rounds:
        """The requests inside, weights π_τ/p_C: group-IPS, -SNIPS, -DR are `ips`, `snips`, `dr` of this."""
        rows = self.shown != OUTSIDE
        note = (
            f"in-group: {self.coverage:.1%} of the requests, weighed by how likely the logger was to show a candidate"
        )
        return self.rounds(temperature, rows, self.propensity / self.mass, max_weight, (note,))

    def over_catalogue(self, temperature: float, max_weight: float | None = None) -> Rounds:
        """All requests, weights π_τ/p, 0 outside: the policy's value over the catalogue; it shows candidates only."""
        return self.rounds(temperature, np.ones(len(self.reward), dtype=bool), self.propensity, max_weight, ())

    def rounds(
        self,
        temperature: float,
        rows: Bool[Array, "N"],
        propensity: Float64[Array, "N"],
        max_weight: float | None,
        notes: tuple[str, ...],
    ) -> Rounds:
        """These rows under some propensities."""
        target = self.probabilities(temperature)
        index, place = np.arange(len(target)), np.maximum(self.shown, 0)
        inside = (self.shown != OUTSIDE).astype(np.float64)
        model: dict[str, Array] = {}
        if self.q is not None:
            q = np.where(self.mask, self.q, 0.0)
            model = {"q_hat": (q[index, place] * inside)[rows], "q_hat_target": (target * q).sum(axis=1)[rows]}
        return Rounds.of(
            self.reward[rows],
            np.minimum(propensity, 1.0)[rows],
            (target[index, place] * inside)[rows],
            cluster=None if self.cluster is None else self.cluster[rows],
            reward_range=self.reward_range,
            max_weight=max_weight,
            notes=notes,
            q_hat=model.get("q_hat"),
            q_hat_target=model.get("q_hat_target"),
        )


def group_advantages(q: Float64[Array, "N C"], mask: Bool[Array, "N C"]) -> Float64[Array, "N C"]:
    """(q - mean_C q) / sd_C q, 0 where a group does not vary: to look at, not to estimate with."""
    size = mask.sum(axis=1, keepdims=True)
    kept = np.where(mask, q, 0.0)
    mean = kept.sum(axis=1, keepdims=True) / size
    gap = np.where(mask, q - mean, 0.0)
    spread = np.sqrt((gap**2).sum(axis=1, keepdims=True) / size)
    return np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 0)
