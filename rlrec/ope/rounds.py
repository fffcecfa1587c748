"""Rounds: the columns an estimator reads, one row per request, one column per position.

The estimand is the expected sum of rewards over the positions of a request under the target policy, V = E Σ_k r_k.
Weights are position-marginal, w_k = π(item at k | x) / π₀(item at k | x): unbiased when the reward at a position
depends on the user, the item there and the position alone (position-based clicks, or K = 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64, Int64

from rlrec.errors import InputError
from rlrec.ope.codes import Kind
from rlrec.ope.validation import ACTIONS, Frame, matched

Array = np.ndarray
LARGEST = float(np.finfo(np.float64).max)
SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Rounds:
    """What was shown, what came back, and how likely both policies were to show it.

    `mask` True counts. `q_hat` predicts the reward of the shown item at its position, `q_hat_target` its expectation
    under the target policy, Σ_i π(i at k | x) q(x, i, k). `actions` counts what could have been shown there instead,
    itself included; diagnostics alone read it. `cluster` numbers the users from 0. `reward_range` (of one position)
    and `max_weight` are declared by whoever knows them; neither is ever read off the sample.
    """

    reward: Float64[Array, "N K"]
    propensity: Float64[Array, "N K"]
    target_probability: Float64[Array, "N K"]
    mask: Bool[Array, "N K"]
    cluster: Int64[Array, "N"]
    q_hat: Float64[Array, "N K"] | None = None
    q_hat_target: Float64[Array, "N K"] | None = None
    reward_range: tuple[float, float] | None = None
    max_weight: float | None = None
    actions: Float64[Array, "N K"] | None = None
    propensity_estimated: bool = False
    notes: tuple[str, ...] = ()
    sample_weight: Float64[Array, "N"] | None = None
    """How many rows of the original log a row stands for: 1/keep_probability where rows were dropped at random."""

    def __post_init__(self) -> None:
        """Refuse what no estimator could use.

        Raises:
            InputError: no rows, one prediction without the other, or values out of range.
        """
        shape = self.reward.shape
        if len(shape) != 2 or 0 in shape:
            raise InputError(f"rounds need at least one request and one position, got shape {shape}")
        if (self.q_hat is None) != (self.q_hat_target is None):
            raise InputError("q_hat and q_hat_target come together", column="q_hat, q_hat_target")
        inside = self.mask
        checks: dict[str, tuple[Array | None, float, float, str]] = {
            "reward": (self.reward, -LARGEST, LARGEST, "a finite number"),
            "propensity": (self.propensity, SMALLEST, 1.0, "a number in (0, 1]"),
            "target_probability": (self.target_probability, 0.0, 1.0, "a number in [0, 1]"),
            "q_hat": (self.q_hat, -LARGEST, LARGEST, "a finite number"),
            "q_hat_target": (self.q_hat_target, -LARGEST, LARGEST, "a finite number"),
            "actions": (self.actions, 1.0, LARGEST, "a number of actions"),
        }
        for name, (values, low, high, wanted) in checks.items():
            if values is None:
                continue
            wrong = int(np.count_nonzero(~((values >= low) & (values <= high)) & inside))
            if wrong:
                raise InputError(f"{name} is not {wanted}", column=name, rows=wrong, remedy=f"correct {name}")
        if self.reward_range is not None:
            low, high = self.reward_range
            wrong = int(np.count_nonzero(((self.reward < low) | (self.reward > high)) & inside))
            if wrong or not low < high:
                raise InputError(
                    f"OPE006 reward lies outside the declared range [{low:g}, {high:g}]: it spans "
                    f"[{self.reward[inside].min():g}, {self.reward[inside].max():g}]",
                    column="reward",
                    rows=wrong,
                    remedy="declare the true range: --reward-min, --reward-max",
                )
        if self.max_weight is not None and self.ratios.max() > self.max_weight:
            raise too_heavy(float(self.ratios.max()), self.max_weight)
        if self.sample_weight is not None:
            if shape[1] > 1:
                raise InputError(
                    "OPE015 rows were dropped from requests of several positions",
                    column="keep_probability, sample_weight",
                    remedy="ask for the mean over rows (--per row), or keep or drop whole requests",
                )
            wrong = int(np.count_nonzero(~((self.sample_weight > 0) & (self.sample_weight <= LARGEST))))
            if wrong or self.sample_weight.shape != shape[:1]:
                raise InputError(
                    "OPE015 sample_weight is not a positive number per request", column="sample_weight", rows=wrong
                )

    @staticmethod
    def of(
        reward: Array,
        propensity: Array,
        target_probability: Array,
        *,
        mask: Array | None = None,
        cluster: Array | None = None,
        q_hat: Array | None = None,
        q_hat_target: Array | None = None,
        actions: Array | None = None,
        reward_range: tuple[float, float] | None = None,
        max_weight: float | None = None,
        propensity_estimated: bool = False,
        notes: tuple[str, ...] = (),
        sample_weight: Array | None = None,
    ) -> "Rounds":
        """Rounds from arrays of any number type, `[N, K]` or `[N]` for single actions; each request its own user
        unless `cluster` says otherwise.

        Raises:
            InputError: as `Rounds`, and for shapes that differ.
        """

        tables = {"reward": reward, "propensity": propensity, "target_probability": target_probability}
        given = {"q_hat": q_hat, "q_hat_target": q_hat_target, "actions": actions}
        tables |= {name: values for name, values in given.items() if values is not None}
        tables = {name: wide(np.asarray(values, dtype=np.float64)) for name, values in tables.items()}
        shape = tables["reward"].shape
        shown = np.ones(shape, dtype=bool) if mask is None else wide(np.asarray(mask, dtype=bool))
        users = np.arange(shape[0], dtype=np.int64)
        if cluster is not None:
            _, codes = np.unique(np.asarray(cluster), return_inverse=True)
            users = np.asarray(codes, dtype=np.int64).reshape(-1)
        shapes = {name: values.shape for name, values in (*tables.items(), ("mask", shown))}
        if len({*shapes.values(), (users.size, *shape[1:])}) > 1:
            raise InputError(f"shapes differ: {shapes}, {users.size} clusters", column=", ".join(shapes))
        return Rounds(
            **tables,
            mask=shown,
            cluster=users,
            reward_range=reward_range,
            max_weight=max_weight,
            propensity_estimated=propensity_estimated,
            notes=notes,
            sample_weight=None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64),
        )

    @staticmethod
    def from_tables(
        logged: Frame,
        targets: Frame,
        target_policy: str,
        *,
        loggers: Frame | None = None,
        kind: Kind = "item_position",
        discount: float = 1.0,
        by_row: bool = False,
        actions: int | None = None,
        items: pl.Series | None = None,
        features: Sequence[str] = (),
        serving: str | None = None,
        reward_range: tuple[float, float] | None = None,
        max_weight: float | None = None,
        file: object = None,
    ) -> "Rounds":
        """Rounds of one target policy from LOGGED_SLATES and TARGETS, requests in order of their id.

        `kind` says what both probabilities are of: the item at its position, the list down to it (cascade; `q_hat` is
        then the reward from there on), the whole slate; `rlrec.ope.slates` names the estimators that this gives. Or of
        each step of a trajectory (request, position are episode, step; `q_hat`, `q_hat_target` are Q and V): PDIS.
        With `loggers`, every logging policy's probability of every shown item, propensities are their mixture.
        `by_row` takes each row for a request of its own, in order of request and position: values are means over rows.
        `actions` is how many could be shown at every position; without it the log's `candidates` are counted.
        `items` is the catalogue that actions must be in, `features` are columns that must not be empty, `serving` is
        the digest of the configuration that target probabilities must come from (`serving_digest`). The log's
        `keep_probability` or `sample_weight` become `sample_weight`.

        Raises:
            InputError: all problems of both tables at once, each with code, column, rows, events and remedy.
        """
        rows = matched(
            logged,
            targets,
            target_policy,
            reward_range,
            loggers=loggers,
            kind=kind,
            items=items,
            features=features,
            serving=serving,
            file=file,
        )
        frame = rows.frame
        if by_row:
            frame = frame.with_columns(request=pl.int_range(pl.len()), position=pl.lit(1))
        request = frame["request"].rank("dense").to_numpy().astype(np.int64) - 1
        position = frame["position"].rank("dense").to_numpy().astype(np.int64) - 1
        shape = (int(request[-1]) + 1, int(position.max()) + 1)

        def table(column: str, empty: float) -> Array:
            values = np.full(shape, empty)
            values[request, position] = frame[column].to_numpy()
            return values

        mask = np.zeros(shape, dtype=bool)
        mask[request, position] = True
        cluster = np.zeros(shape[0], dtype=np.int64)
        cluster[request] = frame["user"].rank("dense").to_numpy().astype(np.int64) - 1
        if rows.loggers and rows.sampled:
            raise InputError(
                "OPE015 a mixture of loggers is not known for a log whose rows were sampled",
                file=file,
                column="keep_probability, sample_weight",
                remedy="leave --loggers out, or hand over the log with all of its rows",
            )
        if rows.loggers:
            logger = np.zeros(shape[0], dtype=np.int64)
            logger[request] = frame["logger"].to_numpy()
            each = np.stack([table(f"logger_{number}", 1.0) for number in range(rows.loggers)])
            propensity = mixture_propensity(each, logger)
        else:
            propensity = table("propensity", 1.0)
        target_probability, reward = table("target_probability", 0.0), table("reward", 0.0)
        counted = None
        if kind == "item_position" and (actions is not None or ACTIONS in frame.columns):
            counted = np.full(shape, float(actions)) if actions is not None else table(ACTIONS, 1.0)
        q_hat, direct = (table(name, 0.0) if rows.has_model else None for name in ("q_hat", "q_hat_target"))
        if kind == "trajectory":  # after its end a trajectory goes on with reward 0: normalised forms divide by all
            ratios = np.where(mask, target_probability / propensity, 1.0).cumprod(axis=1)
            propensity, target_probability = as_probabilities(ratios)
            mask = np.ones_like(mask)
            worth = discount ** np.arange(shape[1], dtype=np.float64)
            reward = reward * worth
            q_hat, direct = (None if one is None else one * worth for one in (q_hat, direct))
        if reward_range is not None and (kind == "trajectory" or (kind == "cascade" and direct is not None)):
            # what ended, or a list above that was never shown, counts as 0
            reward_range = min(reward_range[0], 0.0), max(reward_range[1], 0.0)
        if direct is not None and kind in ("cascade", "trajectory"):
            direct = direct * before_each(target_probability / propensity, mask)
        return Rounds(
            reward=reward,
            propensity=propensity,
            target_probability=target_probability,
            mask=mask,
            cluster=cluster,
            q_hat=q_hat,
            q_hat_target=direct,
            reward_range=reward_range,
            max_weight=max_weight,
            actions=counted,
            propensity_estimated=rows.propensity_estimated,
            notes=rows.notes,
            sample_weight=frame["sample_weight"].to_numpy() if rows.sampled else None,
        )

    def __len__(self) -> int:
        return self.reward.shape[0]

    @property
    def positions(self) -> int:
        """K."""
        return self.reward.shape[1]

    @cached_property
    def clusters(self) -> int:
        """How many users."""
        return int(self.cluster.max()) + 1

    @cached_property
    def full(self) -> bool:
        """Whether every request has every position."""
        return bool(self.mask.all())

    @cached_property
    def counts(self) -> Float64[Array, "N K"]:
        """The mask as numbers; a row that was sampled counts as `scale`."""
        return self.scaled(self.mask.astype(np.float64))

    @cached_property
    def shares(self) -> Float64[Array, "K"]:
        """Share of requests that have position k."""
        return self.mask.mean(axis=0)

    @cached_property
    def ratios(self) -> Float64[Array, "N K"]:
        """π / π₀, 0 where nothing was shown."""
        return self.shown(self.target_probability / np.where(self.mask, self.propensity, 1.0))

    @cached_property
    def weights(self) -> Float64[Array, "N K"]:
        """w = π / π₀, times `scale` where rows were sampled."""
        return self.scaled(self.ratios)

    @cached_property
    def scale(self) -> Float64[Array, "N"]:
        """s = N · sample_weight / Σ sample_weight, mean 1: E Σ s·x over the rows kept is what Σ x was over all rows.

        Means Σ s·x / N are thus Hájek's: ratios of two unbiased sums, with a bias of order 1/N.
        Source: Hájek 1971; Särndal, Swensson & Wretman 1992, section 5.7.
        """
        given = np.ones(len(self)) if self.sample_weight is None else self.sample_weight
        return given * (len(given) / given.sum())

    @cached_property
    def rewards(self) -> Float64[Array, "N K"]:
        """Rewards, 0 where nothing was shown."""
        return self.shown(self.reward)

    @cached_property
    def predicted(self) -> Float64[Array, "N K"]:
        """q̂ of what was shown; 0 without a reward model."""
        return np.zeros_like(self.reward) if self.q_hat is None else self.shown(self.q_hat)

    @cached_property
    def direct(self) -> Float64[Array, "N K"]:
        """q̂ under the target policy, times `scale` where rows were sampled; 0 without a reward model."""
        return np.zeros_like(self.reward) if self.q_hat_target is None else self.scaled(self.shown(self.q_hat_target))

    @cached_property
    def direct_total(self) -> Float64[Array, "N"]:
        """q̂ under the target policy, summed over positions."""
        return over_positions(self.direct)

    @cached_property
    def residuals(self) -> Float64[Array, "N K"]:
        """r - q̂."""
        return self.rewards if self.q_hat is None else self.rewards - self.predicted

    @cached_property
    def most_requests(self) -> float:
        """Requests of the busiest user."""
        return float(self.cluster_sizes.max())

    @cached_property
    def sizes(self) -> Float64[Array, "N"]:
        """Positions of each request."""
        return over_positions(self.counts)

    @cached_property
    def logging_value(self) -> float:
        """What the log itself earned, a request."""
        return float(over_positions(self.counts * self.rewards).mean())

    def scaled(self, values: Float64[Array, "N K"]) -> Float64[Array, "N K"]:
        """The values times `scale`, where rows were sampled."""
        return values if self.sample_weight is None else values * self.scale[:, None]

    def linearised(self, values: Float64[Array, "N"], centre: float | None = None) -> Float64[Array, "N"]:
        """Contributions of the same mean whose spread also knows that N was estimated: values - centre·(s - 1).

        The centre is the values' mean unless it is given.
        """
        if self.sample_weight is None:
            return values
        return values - (float(values.mean()) if centre is None else centre) * (self.scale - 1.0)

    def refuse_sampled(self, what: str) -> None:
        """Refuse what is not derived for rows that were sampled.

        Raises:
            InputError: code OPE015.
        """
        if self.sample_weight is not None:
            raise InputError(
                f"OPE015 {what} is not known for a log whose rows were sampled",
                column="keep_probability, sample_weight",
                rows=len(self),
                remedy="leave it out, or hand over the log with all of its rows",
            )

    def shown(self, values: Float64[Array, "N K"]) -> Float64[Array, "N K"]:
        """The values with 0 where nothing was shown."""
        return values if self.full else np.where(self.mask, values, 0.0)

    def per_cluster(self, values: Float64[Array, "N"]) -> Float64[Array, "C"]:
        """Sum over the requests of each user."""
        if self.clusters == len(self):
            return values
        return np.bincount(self.cluster, weights=values, minlength=self.clusters)

    @cached_property
    def cluster_sizes(self) -> Float64[Array, "C"]:
        """Requests of each user, as many as its rows stand for in proportion."""
        given = None if self.sample_weight is None else self.scale
        return np.bincount(self.cluster, weights=given, minlength=self.clusters).astype(np.float64)

    @cached_property
    def cluster_positions(self) -> Float64[Array, "C"]:
        """Positions of all requests of each user."""
        return self.per_cluster(self.sizes)


def too_heavy(largest: float, declared: float) -> InputError:
    """The error for a largest weight that the log contradicts."""
    return InputError(
        f"a weight of {largest:g} exceeds the declared maximum {declared:g}",
        column="target_probability",
        remedy="declare a greatest weight that is proven, or leave --max-weight out",
    )


def wide(values: Array) -> Array:
    """One column per position, also when there is only one."""
    return values[:, None] if values.ndim == 1 else values


def mixture_propensity(probabilities: Float64[Array, "L N K"], loggers: Int64[Array, "N"]) -> Float64[Array, "N K"]:
    """Σ_l n_l/N · π_l: the propensity of a log that several loggers wrote, each for a fixed number of requests.

    `probabilities[l]` is what logger l would have given to the shown item, on every row and not only on its own; the
    shares are those of `loggers`. Weights over the mixture stay below N/n_l times those of any one logger, and only
    some logger needs to support an action. Unbiased when contexts do not depend on the logger.
    Source: Agarwal et al. 2017 (balanced IPS); Veach & Guibas 1995 (the balance heuristic).
    """
    known = len(probabilities)
    strangers = np.count_nonzero((loggers < 0) | (loggers >= known))
    if strangers:
        raise InputError(
            "OPE011 rows name a logger without probabilities",
            column="logging_policy",
            rows=int(strangers),
            remedy=f"give every logger's probability of the shown item; {known} were given",
        )
    shares = np.bincount(loggers, minlength=known) / len(loggers)
    return np.tensordot(shares, probabilities, axes=1)


def before_each(ratios: Float64[Array, "N K"], mask: Bool[Array, "N K"]) -> Float64[Array, "N K"]:
    """U_{k-1}: the ratio of the list above each position, down to the last one shown; 1 where none was."""
    place = np.where(mask, np.arange(1, int(mask.shape[1]) + 1), 0)
    above = np.concatenate((np.zeros((len(mask), 1), dtype=np.int64), np.maximum.accumulate(place, axis=1)), axis=1)
    return np.take_along_axis(np.concatenate((np.ones((len(ratios), 1)), ratios), axis=1), above[:, :-1], axis=1)


def as_probabilities(ratios: Float64[Array, "N K"]) -> tuple[Float64[Array, "N K"], Float64[Array, "N K"]]:
    """A propensity and a target probability of these ratios, however long the product that made them."""
    return 1 / np.maximum(ratios, 1.0), ratios / np.maximum(ratios, 1.0)


def over_positions(values: Float64[Array, "N K"]) -> Float64[Array, "N"]:
    """Sum over positions; a view when there is one, which a long curve feels."""
    return values[:, 0] if values.shape[1] == 1 else values.sum(axis=1)
