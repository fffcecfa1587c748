"""IPS, SNIPS, DM, DR, SNDR and their transformed forms: a value, and the contribution of every request to it.

Every estimator is a base (which sums it divides) and a weight transform. Contributions average to the value; those of
a ratio are linearised, V + influence, so that one interval formula serves all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from rlrec.errors import InputError
from rlrec.ope.rounds import Rounds, over_positions
from rlrec.ope.statistics import Base, is_ratio, needs_model
from rlrec.ope.transforms import Family, Transform, transformed

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Estimate:
    """A value, its row-level standard error, and the contributions `[N]` whose mean it is.

    The error treats requests as independent: sd(φ)/√N for means (n - 1), the delta formula for ratios. Intervals use
    clusters instead. Value and error are not a number where a self-normalised form met no weight.
    """

    estimator: str
    base: Base
    value: float
    standard_error: float
    contributions: Float64[Array, "N"]
    family: Family | None = None
    parameter: float | None = None
    weights: Float64[Array, "N K"] | None = None
    """Those it was computed with, where no transform tells."""
    resampled: bool = True
    """Whether a bootstrap can recompute it from sums of features."""


def contributions(base: Base, rounds: Rounds, weights: Float64[Array, "N K"]) -> Float64[Array, "N"]:
    """φ of every request: IPS Σ_k ŵr · DM Σ_k q̂_π · DR Σ_k q̂_π + ŵ(r - q̂) · SNIPS and SNDR V + influence.

    Influence of a self-normalised position: share·ŵ(x - D)/mean(ŵ) + D(shown - share), with x = r or r - q̂ and
    D = Σ ŵx / Σ ŵ. Source: Swaminathan & Joachims 2015 (SNIPS); Dudík et al. 2011 (DR).
    """
    require_model(base, has_model=rounds.q_hat is not None)
    direct = rounds.direct_total if needs_model(base) else np.zeros(1)
    if base == "dm":
        return rounds.linearised(direct)
    outcome = rounds.residuals if needs_model(base) else rounds.rewards
    if not is_ratio(base):
        phi = np.einsum("nk,nk->n", weights, outcome)
        return rounds.linearised(phi + direct if needs_model(base) else phi)
    mean_weight = weights.mean(axis=0)
    if ((mean_weight == 0) & (rounds.shares > 0)).any():
        return np.full(len(rounds), np.nan)
    scale = np.divide(rounds.shares, mean_weight, out=np.zeros_like(mean_weight), where=mean_weight > 0)
    level = np.divide(
        np.einsum("nk,nk->k", weights, outcome) / len(rounds),
        mean_weight,
        out=np.zeros_like(mean_weight),
        where=mean_weight > 0,
    )
    influence = (weights * (outcome - level)) @ scale
    phi = influence + (float(level.sum()) if rounds.full else rounds.counts @ level) + direct
    return rounds.linearised(phi, float(direct.mean()))


def require_model(base: Base, *, has_model: bool) -> None:
    """Refuse an estimator that lacks predictions.

    Raises:
        InputError: it does.
    """
    if needs_model(base) and not has_model:
        raise InputError(
            f"{base} needs a reward model",
            column="q_hat, q_hat_target",
            remedy="add both columns to the targets, or use ips or snips",
        )


def estimate(
    base: Base, rounds: Rounds, *, family: Family | None = None, parameter: float | None = None, name: str | None = None
) -> Estimate:
    """Any base under any transform; `family` None leaves the weights as they are."""
    weights = rounds.weights if family is None or parameter is None else bent(rounds, family, parameter)
    phi = contributions(base, rounds, weights)
    count = len(phi)
    spread = float(np.std(phi, ddof=0 if is_ratio(base) else 1)) if count > 1 else np.nan
    return Estimate(name or base, base, float(phi.mean()), spread / np.sqrt(count), phi, family, parameter)


def bent(rounds: Rounds, family: Family, parameter: float) -> Float64[Array, "N K"]:
    """The transformed weights; where rows were sampled, the ratio is transformed, not what a row stands for."""
    return rounds.scaled(rounds.shown(transformed(rounds.ratios, family, parameter)))


def ips(rounds: Rounds) -> Estimate:
    """mean Σ_k w r. Unbiased under full support. Source: Horvitz & Thompson 1952."""
    return estimate("ips", rounds)


def clipped_ips(rounds: Rounds, parameter: float) -> Estimate:
    """mean Σ_k min(w, λ) r. Source: Ionides 2008."""
    return tuned("clipped_ips", rounds, parameter)


def snips(rounds: Rounds) -> Estimate:
    """Σ_k share_k Σ w r / Σ w. Source: Swaminathan & Joachims 2015."""
    return estimate("snips", rounds)


def dm(rounds: Rounds) -> Estimate:
    """mean Σ_k q̂_π: the reward model's own answer; its error ignores that the model may be wrong."""
    return estimate("dm", rounds)


def dr(rounds: Rounds) -> Estimate:
    """mean Σ_k q̂_π + w(r - q̂). Source: Dudík et al. 2011."""
    return estimate("dr", rounds)


def sndr(rounds: Rounds) -> Estimate:
    """mean Σ_k q̂_π + share_k Σ w(r - q̂) / Σ w. Source: Thomas & Brunskill 2016 (the one-step case of WDR)."""
    return estimate("sndr", rounds)


def dr_clip(rounds: Rounds, parameter: float) -> Estimate:
    """mean Σ_k q̂_π + min(w, λ)(r - q̂). Source: Su et al. 2020 (pessimistic shrinkage)."""
    return tuned("dr_clip", rounds, parameter)


def switch_dr(rounds: Rounds, parameter: float) -> Estimate:
    """mean Σ_k q̂_π + w 1{w ≤ λ}(r - q̂). Source: Wang et al. 2017, SWITCH with the doubly robust part."""
    return tuned("switch_dr", rounds, parameter)


def dros(rounds: Rounds, parameter: float) -> Estimate:
    """mean Σ_k q̂_π + λw/(w² + λ)(r - q̂). Source: Su et al. 2020 (optimistic shrinkage)."""
    return tuned("dros", rounds, parameter)


def sg_ips(rounds: Rounds, parameter: float) -> Estimate:
    """mean Σ_k w/(1 - λ + λw) r. Source: Metelli et al. 2021."""
    return tuned("sg_ips", rounds, parameter)


def sg_dr(rounds: Rounds, parameter: float) -> Estimate:
    """mean Σ_k q̂_π + w/(1 - λ + λw)(r - q̂). Source: Metelli et al. 2021, applied to the residual."""
    return tuned("sg_dr", rounds, parameter)


def beta_ips(rounds: Rounds) -> Estimate:
    """mean Σ_k w r - β(w - 1), with the β that makes its variance over users least: Cov(wr, w - 1) / Var(w - 1).

    β = 0 is IPS; near SNIPS' value it is SNIPS to first order, and never worse than either asymptotically. Where all
    weights are 1 any β does. Source: Owen 2013, section 8.9 (control variates); Gupta et al. 2024 (β-IPS).
    """
    surplus = over_positions(rounds.weights - rounds.counts)
    phi = contributions("ips", rounds, rounds.weights)
    by_user, centred = rounds.per_cluster(surplus), rounds.per_cluster(phi - phi.mean())
    centred_surplus = by_user - surplus.mean() * rounds.cluster_sizes
    beta = steadiest(centred, centred_surplus)
    phi = phi - beta * rounds.linearised(surplus)
    error = float(np.std(phi, ddof=1)) / np.sqrt(len(phi)) if len(phi) > 1 else np.nan
    return Estimate("beta_ips", "ips", float(phi.mean()), error, phi, parameter=beta, resampled=False)


def steadiest(centred: Float64[Array, "C"], surplus: Float64[Array, "C"]) -> float:
    """The β that makes Σ (centred - β surplus)² least; 0 where all weights are 1."""
    spread = float(surplus @ surplus)
    return float(centred @ surplus) / spread if spread > 0 else 0.0


def replay(rounds: Rounds) -> Estimate:
    """The mean reward of the rows on which both policies did the same. Source: Li et al. 2011.

    Raises:
        InputError: the target policy draws, or the logger was not uniform: SNIPS is then the replay that is right.
    """
    agree, p = rounds.target_probability == 1, rounds.propensity[rounds.mask]
    draws = int(np.count_nonzero(~agree & (rounds.target_probability != 0) & rounds.mask))
    if draws or p.max() > p.min():
        raise InputError(
            "replay needs a deterministic target policy and a uniform logger",
            column="target_probability" if draws else "propensity",
            rows=draws or p.size,
            remedy="use snips",
        )
    weights = rounds.scaled(rounds.shown(agree.astype(np.float64)))
    phi = contributions("snips", rounds, weights)
    return Estimate("replay", "snips", float(phi.mean()), float(np.std(phi)) / np.sqrt(len(phi)), phi, weights=weights)


UNTUNED: dict[Base, Callable[[Rounds], Estimate]] = {"ips": ips, "snips": snips, "dm": dm, "dr": dr, "sndr": sndr}
TUNED: dict[str, tuple[Base, Family]] = {
    "clipped_ips": ("ips", "clip"),
    "dr_clip": ("dr", "clip"),
    "switch_dr": ("dr", "switch"),
    "dros": ("dr", "os"),
    "sg_ips": ("ips", "sg"),
    "sg_dr": ("dr", "sg"),
}


def tuned(name: str, rounds: Rounds, parameter: float) -> Estimate:
    """One of `TUNED`."""
    base, family = TUNED[name]
    return estimate(base, rounds, family=family, parameter=parameter, name=name)


def named(name: str, rounds: Rounds) -> Estimate:
    """An estimator by its name: `ips`, `beta_ips`, or `clipped_ips@2.5`, with the parameter of a transform.

    Raises:
        InputError: there is none of this name, or a parameter is missing, superfluous or no number.
    """
    if (special := SPECIAL.get(name)) is not None:
        return special(rounds)
    base, transform = form_of(name)
    return UNTUNED[base](rounds) if transform is None else tuned(name.partition("@")[0], rounds, transform.parameter)


SPECIAL: dict[str, Callable[[Rounds], Estimate]] = {"beta_ips": beta_ips, "replay": replay}
"""Those that are no base under a transform."""


def form_of(name: str) -> tuple[Base, Transform | None]:
    """The base and the transform of an estimator's name that is none of `SPECIAL`.

    Raises:
        InputError: there is none of this name, or a parameter is missing, superfluous or none of its transform's.
    """
    for base in UNTUNED:
        if name == base:
            return base, None
    stem, _, parameter = name.partition("@")
    try:
        (base, family), value = TUNED[stem], float(parameter)
    except (KeyError, ValueError):
        known = ", ".join([*UNTUNED, *SPECIAL, *(f"{one}@NUMBER" for one in TUNED)])
        raise InputError(f"no estimator {name!r}", remedy=f"choose among: {known}") from None
    most = 1.0 if family in ("sg", "power") else np.inf
    if not 0 <= value <= most:
        raise InputError(f"no λ {parameter} of {stem}", remedy="it is in [0, 1]" if most == 1 else "it is 0 or more")
    return base, Transform(family, value)
