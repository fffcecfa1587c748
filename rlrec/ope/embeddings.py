"""Large catalogues: weigh what an item is like, not which item it is; single actions.

MIPS is `ips`, OffCEM `dr` of the Rounds made here, whose weights compare how often the two policies show something
*like* the shown item. Right when the likeness decides the reward (MIPS), or all of it that a model does not know
(OffCEM); and when the logger supports every kind, not every item. Intervals, curve and verdict as ever.
Source: Saito & Joachims 2022 (MIPS); Saito, Ren & Joachims 2023 (OffCEM); Taufiq et al. 2023 (MDR).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int64

from rlrec.errors import InputError
from rlrec.ope.estimators import Estimate, ips
from rlrec.ope.intervals import clustered
from rlrec.ope.models import Choices, Classifier, classified, single
from rlrec.ope.rounds import Rounds, as_probabilities
from rlrec.ope.selection import SLOPE_WIDTH, slope

Array = np.ndarray
BINS = 32  # of rewards that are not a few values


def by_likeness(
    rounds: Rounds, target: Float64[Array, "N A"], logging: Float64[Array, "N A"], likelihood: Float64[Array, "N A"]
) -> Rounds:
    """Weights Σ_b π(b) p(m|b) / Σ_b π₀(b) p(m|b); `likelihood` is p(m|b) of the m that was seen, for every item b."""
    single(rounds)
    shares = [(policy * likelihood).sum(axis=1)[:, None] for policy in (logging, target)]
    return weighed(rounds, shares[1] / shares[0])


def by_kind(
    rounds: Rounds,
    target: Float64[Array, "N A"],
    logging: Float64[Array, "N A"],
    kind: Int64[Array, "A"],
    action: Int64[Array, "N"],
) -> Rounds:
    """The same when every item is of one kind: the kind's total probabilities. A kind per item: IPS; one: mean r."""
    return by_likeness(rounds, target, logging, (kind == kind[action][:, None]).astype(np.float64))


def by_classifier(
    rounds: Rounds,
    target: Float64[Array, "N A"],
    logging: Float64[Array, "N A"],
    features: Float64[Array, "N D"],
    action: Int64[Array, "N"],
    fold: Int64[Array, "N"],
    model: Classifier,
) -> Rounds:
    """Weights Σ_b P(b|x, m) w(x, b), P by a classifier of the item from `features` of context and likeness, by folds.

    Intervals ignore the classifier's error, as they do that of estimated propensities; the verdict says so.
    """
    single(rounds)
    ratio = np.divide(target, logging, out=np.zeros_like(target), where=logging > 0)
    weights = np.zeros(len(action))
    for number in np.unique(fold):
        held = fold == number
        fitted, classes = classified(model, features[~held], action[~held])
        weights[held] = (fitted(features[held]) * ratio[held][:, classes]).sum(axis=1)
    return replace(weighed(rounds, weights[:, None]), propensity_estimated=True)


def offcem(
    rounds: Rounds,
    choices: Choices,
    logging: Float64[Array, "N A"],
    kind: Int64[Array, "A"],
    fold: Int64[Array, "N"],
    ridge: float = 1e-6,
) -> Rounds:
    """Kinds as weights, and a model that need only know how items of one kind differ: `dr` of it is OffCEM.

    In two steps: θ from differences within a kind (rewards and features less their kind's mean), then each kind's mean
    of what is left. One kind: the model and its mean error; a kind per item: DR.

    Raises:
        InputError: several positions.
    """
    made = by_kind(rounds, choices.target, logging, kind, choices.action)
    q_hat, q_hat_target = np.zeros_like(rounds.reward), np.zeros_like(rounds.reward)
    kinds, code = np.unique(kind, return_inverse=True)
    for number in np.unique(fold):
        held = fold == number
        other, own = choices.part(~held), choices.part(held)
        mine = code[other.action]
        table = np.column_stack((other.shown, rounds.reward[~held]))
        sizes = np.maximum(np.bincount(mine, minlength=len(kinds)), 1)
        means = np.stack([np.bincount(mine, column, len(kinds)) for column in table.T], axis=1) / sizes[:, None]
        inside = table - means[mine]
        gram = inside[:, :-1].T @ inside[:, :-1] + ridge * len(mine) * np.eye(table.shape[1] - 1)
        theta = np.linalg.solve(gram, inside[:, :-1].T @ inside[:, -1])
        level = means[:, -1] - means[:, :-1] @ theta
        every = own.pairs @ theta + level[code]
        q_hat[held, 0] = every[np.arange(len(every)), own.action]
        q_hat_target[held, 0] = (own.target * every).sum(axis=1)
    return replace(made, q_hat=q_hat, q_hat_target=q_hat_target)


def marginal_density(rounds: Rounds, bins: int = BINS) -> Estimate:
    """MDR: mean h(r)·r with h = E[w | r], the mean of w over equal rewards, or over `bins` quantiles of many.

    h is fitted on the rows it weighs, and the contributions say so: φ = w·r̄ + h(r - r̄), r̄ the bin's mean reward. Over
    equal rewards that is IPS, digit for digit; what variance it saves, it saves by smoothing.
    """
    single(rounds)
    reward, weight = rounds.reward[:, 0], rounds.weights[:, 0]
    values, code = np.unique(reward, return_inverse=True)
    if len(values) > bins:
        code = np.searchsorted(np.quantile(reward, np.linspace(0, 1, bins + 1)[1:-1]), reward)
    sizes = np.maximum(np.bincount(code), 1)
    mean, density = (np.bincount(code, weights=column) / sizes for column in (reward, weight))
    phi = weight * mean[code] + density[code] * (reward - mean[code])
    error = float(np.std(phi, ddof=1)) / np.sqrt(len(phi)) if len(phi) > 1 else np.nan
    return Estimate("mdr", "ips", float(phi.mean()), error, phi, resampled=False)


def chosen_likeness(candidates: Sequence[Rounds], level: float = 0.95) -> int:
    """Which of several likenesses to use: SLOPE over their MIPS intervals, from the widest to the narrowest.

    Source: Saito & Joachims 2022, section 4.2; Su, Srinath & Krishnamurthy 2020.
    """
    if not candidates:
        raise InputError("nothing to choose from", remedy="give at least one")
    found = [clustered(ips(one), one, level) for one in candidates]
    half = np.array([(one.high - one.low) / 2 for one in found])
    order = np.argsort(-half, kind="stable")
    value = np.array([(one.high + one.low) / 2 for one in found])
    return int(order[slope(value[order], SLOPE_WIDTH * half[order])])


def weighed(rounds: Rounds, weights: Float64[Array, "N 1"]) -> Rounds:
    """The same rewards under other weights; a declared largest weight was for those before."""
    propensity, target_probability = as_probabilities(weights)
    return replace(rounds, propensity=propensity, target_probability=target_probability, max_weight=None)
