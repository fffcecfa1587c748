"""Evaluation: everything said about one target policy on one log, and the records that are written down."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple, assert_never, cast, get_args

import numpy as np
import polars as pl

from rlrec.errors import InputError
from rlrec.ope.curve import curve as curve_of
from rlrec.ope.diagnostics import Diagnostics, diagnose, weight_histogram
from rlrec.ope.estimators import UNTUNED, Estimate, named
from rlrec.ope.guarantees import betting, truncated
from rlrec.ope.intervals import (
    REPLICATES,
    Interval,
    Resampling,
    bootstrap,
    clustered,
    confidence_sequence,
    empirical_bernstein,
    hoeffding,
)
from rlrec.ope.likelihood import cressie_read, units_of
from rlrec.ope.rounds import Rounds, too_heavy
from rlrec.ope.selection import LARGEST_Z, RULES, Selection, Verdict, decision_changes, judge, select
from rlrec.ope.statistics import Base, Stats, needs_model
from rlrec.ope.summary import (
    EXACT,
    curve_of_stats,
    diagnose_stats,
    estimate_of,
    histogram_of,
    intervals_of,
    likelihood_of,
)
from rlrec.ope.transforms import Family

ESTIMAND = "expected sum of rewards over the positions of a request"
REPORTED: tuple[Base, ...] = ("ips", "snips", "dr", "sndr")
Method = Literal[
    "cressie_read", "truncated", "hoeffding", "empirical_bernstein", "confidence_sequence", "betting",
    "bootstrap_basic", "bootstrap_bca", "bootstrap_blocks",
]  # fmt: skip
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Record:
    """One estimate with one interval and what it takes to judge it; `note` says why a value is missing."""

    target_policy: str
    estimator: str
    value: float
    standard_error: float
    method: str
    level: float
    low: float
    high: float
    validity: str
    n: int
    n_clusters: int
    ess: float
    max_weight_share: float
    mean_weight: float
    verdict: str
    seed: int
    parameter: float | None = None
    rule: str | None = None
    estimand: str = ESTIMAND
    true_value: float | None = None
    input_digest: str | None = None
    code_version: str | None = None
    note: str | None = None

    def to_record(self) -> dict[str, object]:
        """For JSON and Parquet: what is not a finite number becomes null."""
        return finite_only(asdict(self))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Estimates, their records, diagnostics, curve, tuned parameters and verdict."""

    estimates: dict[str, Estimate]
    records: tuple[Record, ...]
    diagnostics: Diagnostics
    curve: pl.DataFrame
    selections: tuple[Selection, ...]
    verdict: Verdict
    logging_value: float
    notes: tuple[str, ...]
    weights: pl.DataFrame

    def to_record(self) -> dict[str, object]:
        """Verdict, diagnostics, selections and the histogram of the weights for JSON."""
        return {
            **self.verdict.to_record(),
            "logging_value": self.logging_value,
            "diagnostics": finite_only(asdict(self.diagnostics)),
            "selections": [finite_only(asdict(one)) for one in self.selections],
            "notes": list(self.notes),
            "weights": [finite_only(one) for one in self.weights.to_dicts()],
        }


def evaluate(
    rounds: Rounds,
    *,
    target_policy: str = "target",
    truth: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = REPLICATES,
    families: Sequence[Family] = ("clip",),
    estimators: Sequence[str] | None = None,
    also: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    planned_users: int | None = None,
    resampled_choices: int = 0,
    estimand: str = ESTIMAND,
    input_digest: str | None = None,
    code_version: str | None = None,
) -> Evaluation:
    """IPS and SNIPS, with a reward model also DR and SNDR; each with a closed-form and a bootstrap interval by user.

    `estimators` names others, as `rlrec.ope.estimators.named` knows them, `also` more. `methods` names further
    intervals of `further`; None is Cressie-Read where a reward range is declared.
    `truth` is the target policy's value where a simulator knows it. The curve covers every reported base and each of
    `families`; the choice of each rule of `RULES` is marked in it by a column `selected_RULE`; with
    `resampled_choices`, `frequency_RULE` says in what share of so many resampled logs the rule chooses each λ.
    """
    has_model = rounds.q_hat is not None
    bases: list[Base] = [base for base in REPORTED if has_model or not needs_model(base)]
    estimates = {name: named(name, rounds) for name in (*(bases if estimators is None else estimators), *also)}
    found = list(estimates.values())
    again = iter(bootstrap([one for one in found if one.resampled], rounds, level, seed=seed, replicates=replicates))
    seen = diagnose(rounds, level)

    curves = [
        curve_of(rounds, base, family, level=level, truth=truth, resampled=resampled_choices, seed=seed)
        for base in bases
        for family in families
    ]
    answers = [
        Answer(one.estimator, one.value, interval, one.parameter)
        for one in found
        for interval in (clustered(one, rounds, level), *((next(again),) if one.resampled else ()))
    ]
    if methods is None:
        methods = () if rounds.reward_range is None else ("cressie_read",)
    for method in methods:
        answers += further(method, found, rounds, level, planned_users, seed=seed, replicates=replicates)
    about = About(target_policy, level, len(rounds), rounds.clusters, seed, truth, input_digest, code_version, estimand)
    skipped = () if estimators or has_model else tuple(filter(needs_model, REPORTED))
    notes = (*rounds.notes, *remarks(seen))
    weights = weight_histogram(rounds)
    return concluded(about, estimates, answers, seen, curves, rounds.logging_value, skipped, notes, weights)


def evaluate_stats(
    stats: Stats,
    *,
    target_policy: str = "target",
    truth: float | None = None,
    level: float = 0.95,
    seed: int = 0,
    replicates: int = REPLICATES,
    families: Sequence[Family] = EXACT,
    estimators: Sequence[str] | None = None,
    reward_range: tuple[float, float] | None = None,
    max_weight: float | None = None,
    resampled_choices: int = 0,
    estimand: str = ESTIMAND,
    input_digest: str | None = None,
    code_version: str | None = None,
) -> Evaluation:
    """`evaluate` from sums: shards of users stand for users; see `rlrec.ope.summary`.

    `families` and `estimators` need in the sums what `rlrec.ope.summary.needed` says of them.
    """
    if max_weight is not None and stats.max_weight > max_weight:
        raise too_heavy(stats.max_weight, max_weight)
    bases: list[Base] = [base for base in REPORTED if stats.has_model or not needs_model(base)]
    found = {name: estimate_of(name, stats) for name in (bases if estimators is None else estimators)}
    estimates = {name: summed.estimate for name, summed in found.items()}
    intervals = intervals_of(stats, list(found.values()), level, seed=seed, replicates=replicates)
    answers = [
        Answer(one.estimator, one.value, interval, one.parameter)
        for one, its in zip(estimates.values(), intervals, strict=True)
        for interval in its
    ]
    if reward_range is not None:
        answers.append(Answer("cressie_read", *likelihood_of(stats, level, reward_range, max_weight)))
    curves = [
        curve_of_stats(
            stats,
            base,
            family,
            level=level,
            truth=truth,
            reward_range=reward_range,
            max_weight=max_weight,
            resampled=resampled_choices,
            seed=seed,
        )
        for base in bases
        for family in families
    ]
    seen = diagnose_stats(stats, level)
    about = About(target_policy, level, stats.n, seen.clusters, seed, truth, input_digest, code_version, estimand)
    notes = (f"read in one pass: {seen.clusters} shards of users stand for users",)
    skipped = () if estimators or stats.has_model else tuple(filter(needs_model, REPORTED))
    weights = histogram_of(stats)
    return concluded(about, estimates, answers, seen, curves, stats.logging_value, skipped, notes, weights)


def remarks(seen: Diagnostics) -> tuple[str, ...]:
    """What no rule of the verdict says."""
    if not abs(seen.inverse_propensity_z) > LARGEST_Z:
        return ()
    return (
        f"1/propensity averages to {seen.inverse_propensity:.3g} times the number of actions "
        f"(z = {seen.inverse_propensity_z:.1f}): these are hardly the probabilities that the logger drew with",
    )


class Answer(NamedTuple):
    """A value with one interval."""

    estimator: str
    value: float
    interval: Interval
    parameter: float | None = None


@dataclass(frozen=True)
class About:
    """What every record of an evaluation repeats."""

    target_policy: str
    level: float
    n: int
    n_clusters: int
    seed: int
    true_value: float | None
    input_digest: str | None
    code_version: str | None
    estimand: str


def concluded(
    about: About,
    estimates: dict[str, Estimate],
    answers: Sequence[Answer],
    seen: Diagnostics,
    curves: Sequence[pl.DataFrame],
    logging_value: float,
    skipped: Sequence[str],
    notes: tuple[str, ...],
    weights: pl.DataFrame,
) -> Evaluation:
    """The verdict, the rules' choices marked in the curves, a record per answer and per estimator that was skipped."""
    selections: list[Selection] = []
    parts: list[pl.DataFrame] = []
    for rows in curves:
        marked = rows
        for rule in RULES:
            chosen = select(rows, rule)
            is_chosen = pl.lit(value=False) if chosen is None else pl.col("lambda") == chosen.parameter
            marked = marked.with_columns(is_chosen.alias(f"selected_{rule}"))
            selections += [] if chosen is None else [chosen]
        parts.append(marked)
    frame = pl.concat(parts)
    bases = set(frame["base"])
    steady: Base = "sndr" if "sndr" in bases else "snips"
    deciding = frame.filter(pl.col("base") == steady, pl.col("family") == curves[0]["family"][0])
    verdict = judge(seen, sign_change=decision_changes(deciding, logging_value))

    def record(answer: Answer, note: str | None = None) -> Record:
        return Record(
            **asdict(about),
            estimator=answer.estimator,
            value=answer.value,
            parameter=answer.parameter,
            standard_error=answer.interval.standard_error,
            method=answer.interval.method,
            low=answer.interval.low,
            high=answer.interval.high,
            validity=answer.interval.validity,
            ess=seen.effective_sample_size,
            max_weight_share=seen.max_row_share,
            mean_weight=seen.mean_weight,
            verdict=verdict.grade,
            note=note,
        )

    records = [record(answer) for answer in answers]
    gap = Interval("none", about.level, np.nan, np.nan, "asymptotic")
    why = "skipped: the targets have no columns q_hat and q_hat_target"
    records += [record(Answer(base, np.nan, gap), why) for base in skipped]
    return Evaluation(estimates, tuple(records), seen, frame, tuple(selections), verdict, logging_value, notes, weights)


def further(
    method: str,
    found: Sequence[Estimate],
    rounds: Rounds,
    level: float,
    planned_users: int | None,
    *,
    seed: int,
    replicates: int,
) -> list[Answer]:
    """What a method can say.

    cressie_read has a value of its own; truncated and betting are about IPS; hoeffding and empirical_bernstein about
    IPS and DR; confidence_sequence about every estimator found, the bootstraps about those that can be
    resampled. What they need declared, they ask for.

    Raises:
        InputError: a method that is none, or one that lacks what it needs.
    """
    if method not in METHODS:
        raise InputError(f"no interval method {method!r}", remedy=f"choose among: {', '.join(METHODS)}")
    plain = UNTUNED["ips"](rounds)
    unbiased = [plain] if rounds.q_hat is None else [plain, UNTUNED["dr"](rounds)]
    match method:
        case "cressie_read":
            if rounds.reward_range is None:
                raise InputError(
                    "cressie_read needs a declared reward range", remedy="declare it: --reward-min, --reward-max"
                )
            mean_reward = rounds.logging_value * len(rounds) / float(rounds.counts.sum())
            largest = np.inf if rounds.max_weight is None else rounds.max_weight
            value, interval = cressie_read(units_of(rounds), mean_reward, level, rounds.reward_range, largest)
            return [Answer(method, value, interval)]
        case "truncated" | "betting":
            interval = (truncated if method == "truncated" else betting)(rounds, level)
            return [Answer("ips", plain.value, interval)]
        case "hoeffding" | "empirical_bernstein":
            bound = hoeffding if method == "hoeffding" else empirical_bernstein
            return [Answer(one.estimator, one.value, bound(one, rounds, level)) for one in unbiased]
        case "confidence_sequence":
            if planned_users is None:
                raise InputError(
                    "confidence_sequence needs the number of users at which it should be narrowest",
                    remedy="name it once and keep it: --planned-users",
                )
            return [
                Answer(one.estimator, one.value, confidence_sequence(one, rounds, level, planned_users), one.parameter)
                for one in found
            ]
        case "bootstrap_basic" | "bootstrap_bca" | "bootstrap_blocks":
            kind = cast("Resampling", method.removeprefix("bootstrap_"))
            again = [one for one in found if one.resampled]
            intervals = bootstrap(again, rounds, level, seed=seed, replicates=replicates, kind=kind)
            return [Answer(one.estimator, one.value, i, one.parameter) for one, i in zip(again, intervals, strict=True)]
    assert_never(method)


def finite_only(record: dict[str, object]) -> dict[str, object]:
    """The same record with null for every number that is not finite, also inside tuples."""
    return {name: finite_or_null(value) for name, value in record.items()}


def finite_or_null(value: object) -> object:
    """One value of a record."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, (tuple, list)):
        return [finite_or_null(item) for item in cast("Sequence[object]", value)]
    return value
