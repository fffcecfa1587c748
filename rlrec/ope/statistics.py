"""Stats: sums per shard of users that points, errors and the clip curve are functions of; `+` merges parts of a log.

A user belongs to one of `SHARDS` shards by a hash of the id, in every day and every file. Shards are independent of
each other, so they are what errors are computed from and what a bootstrap resamples. Within a shard, rows are tallied
by position and by weight, four buckets an octave: min(w, λ), and w below λ, have exact sums for every λ on a bucket's
edge. Any other transform has sums if it is named before the rows are read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, assert_never, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from rlrec.errors import InputError
from rlrec.ope.rounds import Rounds
from rlrec.ope.transforms import Transform, identity, transformed

Array = np.ndarray
Base = Literal["ips", "snips", "dm", "dr", "sndr"]
BASES: tuple[Base, ...] = get_args(Base)
FEATURES = ("count", "weight", "weighted_reward", "direct", "weighted_prediction")
SUMS = (
    "rows", "weight", "weight_squared", "reward", "weighted_reward", "direct", "prediction", "weighted_prediction",
)  # fmt: skip
FEATURE_SUMS = [SUMS.index(name) for name in ("rows", "weight", "weighted_reward", "direct", "weighted_prediction")]
BENT_SUMS = (
    "weight", "weight_squared", "weighted_reward", "weighted_prediction", "excess", "lighter", "second_moment",
)  # fmt: skip
ROWS, WEIGHT, WEIGHT_SQUARED, REWARD, WEIGHTED_REWARD, _, PREDICTION, WEIGHTED_PREDICTION = range(len(SUMS))
WEIGHT_FEATURES = [FEATURES.index(name) for name in ("weight", "weighted_reward", "weighted_prediction")]
NOTHING_PREDICTED = (np.inf, -np.inf)  # least and greatest of no predictions
SHARDS = 1_000  # an error from so many units carries about 2 % noise of its own
BUCKETS_PER_OCTAVE = 4
FIRST_OCTAVE, LAST_OCTAVE = -4, 20  # weights below 1/16 share a bucket, as do those above a million; 0 has its own
BUCKETS = BUCKETS_PER_OCTAVE * (LAST_OCTAVE - FIRST_OCTAVE) + 2
HASH = 2_654_435_761  # 2³² over the golden ratio; Knuth 1998, section 6.4
LOW_BITS = 0x7FFF_FFFF
CHUNK = 262_144  # rows tallied at once


def needs_model(base: Base) -> bool:
    """Whether the estimator reads reward predictions."""
    return base in ("dm", "dr", "sndr")


def is_ratio(base: Base) -> bool:
    """Whether the estimator divides by the weights it met."""
    return base in ("snips", "sndr")


def value_of(base: Base, means: Float64[Array, "... 5 K"]) -> Float64[Array, "..."]:
    """The estimate that belongs to feature means; not a number where a self-normalised form met no weight.

    Self-normalised forms normalise each position: Σ_k share_k · mean(w·r)_k / mean(w)_k.
    """
    count, weight, reward, direct, prediction = np.moveaxis(means, -2, 0)
    match base:
        case "ips":
            parts = reward
        case "dm":
            parts = direct
        case "dr":
            parts = direct + reward - prediction
        case "snips":
            parts = ratio(count * reward, weight, count)
        case "sndr":
            parts = direct + ratio(count * (reward - prediction), weight, count)
        case _:
            assert_never(base)
    return np.asarray(parts.sum(axis=-1))


def ratio(top: Array, weight: Array, count: Array) -> Array:
    """top / weight; 0 at a position that no request has, not a number at one whose weights are all 0."""
    missing = np.where(count > 0, np.nan, 0.0)
    return np.divide(top, weight, out=missing, where=weight > 0)


def gradient_of(base: Base, means: Float64[Array, "5 K"]) -> Float64[Array, "5 K"]:
    """∂ value / ∂ feature means."""
    count, weight, reward, _, prediction = means
    slope = np.zeros_like(means)
    match base:
        case "ips":
            slope[2] = 1.0
        case "dm":
            slope[3] = 1.0
        case "dr":
            slope[2:] = np.array([1.0, 1.0, -1.0])[:, None]
        case "snips" | "sndr":
            top = reward if base == "snips" else reward - prediction
            slope[0] = ratio(top, weight, count)
            slope[1] = -ratio(count * slope[0], weight, count)
            slope[2] = ratio(count, weight, count)
            if base == "sndr":
                slope[3], slope[4] = 1.0, -slope[2]
        case _:
            assert_never(base)
    return slope


def shard_of(users: Int64[Array, "N"]) -> Int64[Array, "N"]:
    """The shard of each user: multiplicative hashing, the same in `sql/ope/cells.sql`."""
    mixed = (users ^ (users >> 31)) & LOW_BITS
    return ((mixed * HASH) % 2**32 * SHARDS) >> 32


def bucket_of(weights: Float64[Array, "N"]) -> Int64[Array, "N"]:
    """0 for weight 0, then 1 below 2^`FIRST_OCTAVE`, then four an octave."""
    place = np.floor(BUCKETS_PER_OCTAVE * (np.log2(np.where(weights > 0, weights, 1.0)) - FIRST_OCTAVE)) + 2
    return np.where(weights > 0, np.clip(place, 1, BUCKETS - 1), 0).astype(np.int64)


def edges() -> Float64[Array, "E"]:
    """The lower edges of buckets 2 and above: where a clip is exact."""
    return 2.0 ** (FIRST_OCTAVE + np.arange(BUCKETS - 2) / BUCKETS_PER_OCTAVE)


def below_edges() -> Float64[Array, "E"]:
    """The last numbers before the edges: where a switch, which keeps what is not above λ, is exact."""
    return np.nextafter(edges(), 0.0)


@dataclass(frozen=True, eq=False)
class Bent:
    """What a transform makes of a log: feature sums and Σ (ŵ - w)₊ of each shard, Σ ŵ², and the rows with ŵ < w."""

    units: Float64[Array, "U 5 K"]
    excess: Float64[Array, "U"]
    squared: float
    lighter: float


@dataclass(frozen=True, eq=False)
class Stats:
    """Requests of each shard, the `SUMS` of its rows by position and weight bucket, and the largest weight of all."""

    requests: Float64[Array, "S"]
    cells: Float64[Array, "S K B 8"]
    max_weight: float
    has_model: bool
    estimated_rows: int = 0
    """Rows whose propensity a model estimated."""
    k_hat: float = np.nan
    """The shape of the largest weights, where somebody saw them; sums cannot tell, nor add up."""
    predicted: tuple[float, float] = NOTHING_PREDICTED
    """The least and the greatest prediction for an item shown."""
    bent: Mapping[Transform, Float64[Array, "S K 7"]] = field(default_factory=dict[Transform, Array])
    """The `BENT_SUMS` under each transform that was named: of ŵ, ŵ², ŵr, ŵq̂, (ŵ - w)₊, 1{ŵ < w} and w·ŵ·r²."""

    @staticmethod
    def empty(positions: int, transforms: Sequence[Transform] = (), *, has_model: bool = True) -> "Stats":
        """What adds nothing."""
        cells = np.zeros((SHARDS, positions, BUCKETS, len(SUMS)))
        bent = {transform: np.zeros((SHARDS, positions, len(BENT_SUMS))) for transform in transforms}
        return Stats(np.zeros(SHARDS), cells, 0.0, has_model, bent=bent)

    @staticmethod
    def of(rounds: Rounds, transforms: Sequence[Transform] = ()) -> "Stats":
        """The sums of all rounds; users are told apart by their number."""
        rounds.refuse_sampled("a table of sums")
        shard, has_model = shard_of(rounds.cluster), rounds.q_hat is not None
        total = Stats.empty(rounds.positions, transforms)
        for start in range(0, len(rounds), max(1, CHUNK // rounds.positions)):
            part = slice(start, start + max(1, CHUNK // rounds.positions))
            request, place = np.nonzero(rounds.mask[part])
            columns = (rounds.weights, rounds.rewards, rounds.direct, rounds.predicted)
            rows = shard[part][request], place, *(column[part][request, place] for column in columns)
            tally(total, *rows)
        requests = np.bincount(shard, minlength=SHARDS).astype(np.float64)
        estimated = np.count_nonzero(rounds.mask) if rounds.propensity_estimated else 0
        seen = rounds.predicted[rounds.mask]
        return replace(
            total,
            requests=requests,
            max_weight=float(rounds.weights.max()),
            has_model=has_model,
            estimated_rows=int(estimated),
            predicted=(float(seen.min()), float(seen.max())) if has_model else NOTHING_PREDICTED,
        )

    def __add__(self, other: "Stats") -> "Stats":
        if self.bent.keys() != other.bent.keys():
            raise InputError("sums of different transforms do not add up", remedy="name the same for every part")
        return Stats(
            self.requests + other.requests,
            self.cells + other.cells,
            max(self.max_weight, other.max_weight),
            self.has_model and other.has_model,
            self.estimated_rows + other.estimated_rows,
            predicted=widened(self.predicted, other.predicted),
            bent={transform: sums + other.bent[transform] for transform, sums in self.bent.items()},
        )

    def by_row(self) -> "Stats":
        """The same rows, each a request of its own: values are then means over rows."""
        cells = self.cells.sum(axis=1, keepdims=True)
        bent = {transform: sums.sum(axis=1, keepdims=True) for transform, sums in self.bent.items()}
        return replace(self, requests=cells[..., ROWS].sum(axis=(1, 2)), cells=cells, bent=bent)

    @cached_property
    def n(self) -> int:
        """Requests."""
        return int(self.requests.sum())

    @cached_property
    def present(self) -> Bool[Array, "S"]:
        """Shards that have users."""
        return self.requests > 0

    @cached_property
    def units(self) -> Float64[Array, "U 5 K"]:
        """The feature sums of each shard that has users."""
        return np.moveaxis(self.cells[self.present].sum(axis=2)[..., FEATURE_SUMS], -1, 1)

    @cached_property
    def below(self) -> Float64[Array, "U K B 8"]:
        """Sums of all buckets up to each."""
        return self.cells[self.present].cumsum(axis=2)

    @cached_property
    def beyond(self) -> Float64[Array, "U K B 8"]:
        """Sums of all buckets from each on: not what `below` leaves, which would cancel."""
        return self.cells[self.present][:, :, ::-1].cumsum(axis=2)[:, :, ::-1]

    def under(self, transform: Transform | None) -> Bent:
        """The sums under a transform that was named, that a bucket's edge decides, or that is an end of its family.

        Clip is decided at λ = `edges()`; switch at `below_edges()`, as it keeps a weight that is λ.

        Raises:
            InputError: the rows were read without it.
        """
        if transform is None:
            return self.ending(untouched=True)
        if (sums := self.bent.get(transform)) is not None:
            return self.summed(sums[self.present])
        family, parameter = transform
        if parameter == identity(family):
            return self.ending(untouched=True)
        if parameter == 0 and family in ("clip", "switch", "os"):
            return self.ending(untouched=False)
        if family in ("clip", "switch"):
            deciding = edges() if family == "clip" else below_edges()
            edge = int(np.searchsorted(deciding, parameter))
            if edge < len(deciding) and deciding[edge] == parameter:
                return self.divided(edge, parameter if family == "clip" else 0.0)
        raise InputError(
            f"no sums were made for {family}, λ = {parameter:g}", remedy="name the transform before reading the log"
        )

    def ending(self, *, untouched: bool) -> Bent:
        """An end of a family: the weights as they are, or none."""
        if untouched:
            return Bent(self.units, np.zeros(len(self.units)), float(self.totals[..., WEIGHT_SQUARED].sum()), 0.0)
        units = self.units.copy()
        units[:, WEIGHT_FEATURES] = 0.0
        return Bent(units, np.zeros(len(units)), 0.0, float(self.totals[:, 1:, ROWS].sum()))  # weight 0 stays as it is

    def divided(self, edge: int, limit: float) -> Bent:
        """Weights below `edges()[edge]` as they are, the others `limit`; those are what counts as lighter."""
        low, high = self.below[:, :, edge + 1], self.beyond[:, :, edge + 2]
        total = low + high
        total[..., WEIGHT] = low[..., WEIGHT] + limit * high[..., ROWS]
        total[..., WEIGHTED_REWARD] = low[..., WEIGHTED_REWARD] + limit * high[..., REWARD]
        total[..., WEIGHTED_PREDICTION] = low[..., WEIGHTED_PREDICTION] + limit * high[..., PREDICTION]
        heavy = float(high[..., ROWS].sum())
        squared = float(low[..., WEIGHT_SQUARED].sum()) + limit**2 * heavy
        return Bent(np.moveaxis(total[..., FEATURE_SUMS], -1, 1), np.zeros(len(total)), squared, heavy)

    def summed(self, sums: Float64[Array, "U K 7"]) -> Bent:
        """From the `BENT_SUMS` of a transform."""
        weight, squared, reward, prediction, excess, lighter, _ = np.moveaxis(sums, -1, 0)
        units = self.units.copy()
        units[:, WEIGHT_FEATURES] = np.stack((weight, reward, prediction), axis=1)
        return Bent(units, excess.sum(axis=1), float(squared.sum()), float(lighter.sum()))

    @cached_property
    def totals(self) -> Float64[Array, "K B 8"]:
        """The sums of all shards."""
        return self.cells.sum(axis=0)

    @cached_property
    def means(self) -> Float64[Array, "5 K"]:
        """Feature means per request."""
        return self.units.sum(axis=0) / self.n

    @property
    def logging_value(self) -> float:
        """Mean reward per request."""
        return float(self.totals[..., REWARD].sum()) / self.n

    def value(self, base: Base) -> float:
        """The point estimate."""
        return float(value_of(base, self.means))

    def standard_error(self, base: Base) -> float:
        """Clustered by shard; not a number for one shard."""
        return unit_error(influence(base, self.units, self.requests[self.present]), self.n)

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w² over rows (request, position); 0 when all weights are 0."""
        weight, squared = self.totals.sum(axis=(0, 1))[[WEIGHT, WEIGHT_SQUARED]]
        return float(weight**2 / squared) if squared > 0 else 0.0


def tally(
    total: Stats,
    shard: Int64[Array, "N"],
    place: Int64[Array, "N"],
    weight: Float64[Array, "N"],
    reward: Float64[Array, "N"],
    direct: Float64[Array, "N"],
    prediction: Float64[Array, "N"],
) -> None:
    """Add rows to their cells and to the sums under each transform, in place."""
    _, positions, buckets, _ = total.cells.shape
    group = shard * positions + place
    used, code = np.unique(group * buckets + bucket_of(weight), return_inverse=True)
    flat = total.cells.reshape(-1, len(SUMS))
    columns = (None, weight, weight**2, reward, weight * reward, direct, prediction, weight * prediction)
    for number, values in enumerate(columns):
        flat[used, number] += np.bincount(code, weights=values, minlength=len(used))
    for (family, parameter), sums in total.bent.items():
        bent, flat = transformed(weight, family, parameter), sums.reshape(-1, len(BENT_SUMS))
        excess, lighter = np.maximum(bent - weight, 0.0), bent < weight
        columns = (bent, bent**2, bent * reward, bent * prediction, excess, lighter, weight * bent * reward**2)
        for number, values in enumerate(columns):
            flat[:, number] += np.bincount(group, weights=values, minlength=len(flat))


def widened(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The smallest range that holds both."""
    return min(one[0], other[0]), max(one[1], other[1])


def influence(base: Base, units: Float64[Array, "U 5 K"], requests: Float64[Array, "U"]) -> Float64[Array, "U"]:
    """What each unit adds to n·(value - limit), to first order: gradient · (sums - requests · means)."""
    means = units.sum(axis=0) / requests.sum()
    return np.einsum("ufk,fk->u", units - requests[:, None, None] * means, gradient_of(base, means))


def unit_error(influence: Float64[Array, "U"], total: float | int) -> float:
    """√(U/(U-1) Σ influence²) / n, for independent units. Source: Cameron & Miller 2015."""
    units = len(influence)
    return float(np.sqrt(units / (units - 1) * (influence @ influence)) / total) if units > 1 else np.nan


def unit_sums(
    rounds: Rounds, unit: Int64[Array, "C"], weights: Float64[Array, "N K"] | None = None
) -> Float64[Array, "U 5 K"]:
    """The feature sums of each unit, `unit` being that of each user: what a bootstrap resamples."""
    used = rounds.weights if weights is None else weights
    owner, units = unit[rounds.cluster], int(unit.max()) + 1
    total = np.zeros((units, len(FEATURES), rounds.positions))
    columns = (rounds.counts, used, used * rounds.rewards, rounds.direct, used * rounds.predicted)
    for feature, column in enumerate(columns):
        for position in range(rounds.positions):
            total[:, feature, position] = np.bincount(owner, weights=column[:, position], minlength=units)
    return total
