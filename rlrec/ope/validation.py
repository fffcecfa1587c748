"""A log joined with a target policy's probabilities, checked: all problems are collected, then reported once.

`rlrec.ope.codes` lists the codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import polars as pl

from rlrec.errors import InputError
from rlrec.ope.codes import (
    CARRIED,
    LISTS,
    ROUNDING,
    SAMPLING,
    Kind,
    Rule,
    candidate_rules,
    carried_rules,
    falling_times,
    finite,
    sampled_weight,
    serving_rules,
    with_own_propensity,
)
from rlrec.tables import LOGGED_SLATES, LOGGERS, TARGETS

Frame = pl.DataFrame | pl.LazyFrame
Problem = tuple[Rule, int, list[object]]

LOG_COLUMNS = ("event", "request", "user", "position", "reward", "propensity")
LOG_NOTES = ("propensity_kind", "propensity_source")
ACTIONS = "number of candidates"
MODEL_COLUMNS = ("q_hat", "q_hat_target")
NAMED_EVENTS = 5
DETERMINISTIC_SHARE = 0.99  # of rows with propensity 1: the log explored nothing


@dataclass(frozen=True)
class Matched:
    """Checked rows in order of request and position, and what should be said about them."""

    frame: pl.DataFrame
    has_model: bool
    propensity_estimated: bool
    notes: tuple[str, ...]
    loggers: int = 0
    """How many have a column `logger_0`...: what they give to the row; `logger` numbers the one that wrote it."""
    sampled: bool = False
    """Whether a column `sample_weight` says how many rows a row stands for."""


def log_rules(reward_range: tuple[float, float] | None, rewards: pl.Series, *, mixed: bool = False) -> list[Rule]:
    """What every log must satisfy; `rewards` tell the message what was seen. `mixed`: loggers give propensities."""
    user_varies = pl.col("user").min().over("request") != pl.col("user").max().over("request")
    repeated = pl.struct("request", "position").is_duplicated()
    propensity = pl.col("propensity")
    rules = [
        Rule("OPE001", "event", pl.col("event").is_null(), "is empty", "give every shown item its own event id"),
        Rule("OPE001", "event", pl.col("event").is_duplicated(), "is repeated", "keep one row per event"),
        Rule("OPE002", "request", pl.col("request").is_null(), "is empty", "fill request; one id per shown list"),
        Rule("OPE002", "user", pl.col("user").is_null(), "is empty", "fill user; intervals are clustered by it"),
        Rule("OPE002", "user", user_varies, "differs within one request", "a request belongs to one user"),
        Rule("OPE004", "position", pl.col("position").is_null(), "is empty", "fill position, counted from the top"),
        Rule("OPE004", "position", repeated, "is repeated within a request", "one row per request and position"),
        Rule("OPE006", "reward", ~finite("reward"), "is empty or not a number", "log a finite reward, 0 for none"),
    ]
    if not mixed:
        rules += [
            Rule(
                "OPE007", "propensity", propensity.is_null(), "is empty", "log the probability; it is never defaulted"
            ),
            Rule(
                "OPE007",
                "propensity",
                propensity.is_not_null() & ~(finite("propensity") & (propensity > 0) & (propensity <= 1)),
                "is not in (0, 1]",
                "log the probability of the shown item at its position, as float64",
            ),
        ]
    if reward_range is not None:
        low, high = reward_range
        outside = finite("reward") & ~pl.col("reward").is_between(low, high)
        seen = rewards.filter(rewards.is_finite())
        least, greatest = (float(cast("float", end)) for end in (seen.min() or 0.0, seen.max() or 0.0))
        says = f"lies outside the declared range [{low:g}, {high:g}] (seen: {least:g} to {greatest:g})"
        rules.append(Rule("OPE006", "reward", outside, says, reward_flags(least, greatest)))
    return rules


def reward_flags(least: float, greatest: float) -> str:
    """What to do about rewards outside the declared range, by what was seen."""
    return (
        f"declare the range that rewards can have, not only that of this log: --reward-min {least:g} or less, "
        f"--reward-max {greatest:g} or more"
    )


def joined_rules(has_model: bool) -> list[Rule]:
    """What must hold once targets stand beside their events."""
    probability = pl.col("target_probability")
    not_probability = pl.col("matched") & ~(finite("target_probability") & probability.is_between(0.0, 1.0))
    rules = [
        Rule(
            "OPE020",
            "event",
            pl.col("matched").is_null(),
            "has no row in the target table",
            "write a target probability for every logged event of this policy",
        ),
        Rule(
            "OPE022",
            "target_probability",
            not_probability,
            "is not in [0, 1]",
            "give the target policy's probability of the shown item at its position",
        ),
    ]
    if has_model:
        rules += [
            Rule("OPE024", name, pl.col("matched") & ~finite(name), "is empty or not a number", "predict every row")
            for name in MODEL_COLUMNS
        ]
    return rules


def broken(frame: pl.DataFrame, rules: Sequence[Rule]) -> list[Problem]:
    """Each rule that some rows break, with their number and the first events."""
    flags = frame.select("event", *(rule.broken.fill_null(value=True).alias(str(i)) for i, rule in enumerate(rules)))
    counts = flags.select(pl.exclude("event").sum()).row(0)
    return [
        (rule, count, flags.filter(pl.col(str(i)))["event"].head(NAMED_EVENTS).to_list())
        for i, (rule, count) in enumerate(zip(rules, counts, strict=True))
        if count
    ]


def told(problem: Problem) -> str:
    """The code, column, number of rows and first events."""
    rule, count, events = problem
    return f"{rule.code} {rule.column} {rule.says}: {count:,} rows, first events {', '.join(map(str, events))}"


def refuse(problems: Sequence[Problem], *, file: object) -> None:
    """Raise one error that lists every problem, if there is any."""
    if not problems:
        return
    raise InputError(
        "\n".join(["the log cannot be evaluated:", *(f"  {told(problem)}" for problem in problems)]),
        file=file,
        column=", ".join(dict.fromkeys(rule.column for rule, _, _ in problems)),
        rows=max(count for _, count, _ in problems),
        remedy="; ".join(dict.fromkeys(rule.remedy for rule, _, _ in problems)),
    )


def require_columns(names: Sequence[str], needed: Sequence[str], table: str, *, file: object) -> None:
    """Refuse a table without the columns that are read."""
    missing = [name for name in needed if name not in names]
    if missing:
        raise InputError(
            f"table {table}: required columns are missing",
            file=file,
            column=", ".join(missing),
            remedy=f"provide {', '.join(needed)}; found: {', '.join(names)}",
        )


def as_numbers(frame: pl.DataFrame, columns: Sequence[str], *, file: object) -> pl.DataFrame:
    """These columns as float64; text is refused, not parsed."""
    for name in columns:
        if not (frame.schema[name].is_numeric() or frame.schema[name] in (pl.Boolean(), pl.Null())):
            raise InputError(
                f"a column has type {frame.schema[name]}, expected a number",
                file=file,
                column=name,
                remedy=f"cast {name} to Float64",
            )
    return frame.with_columns(pl.col(name).cast(pl.Float64) for name in columns)


def policies(targets: Frame, *, file: object = None) -> list[str]:
    """The target policies of a table, by name."""
    names = targets.lazy().collect_schema().names()
    require_columns(names, list(TARGETS.columns), TARGETS.name, file=file)
    return targets.lazy().select(pl.col("target_policy").unique().sort()).collect()["target_policy"].to_list()


def matched(
    logged: Frame,
    targets: Frame,
    target_policy: str,
    reward_range: tuple[float, float] | None,
    *,
    loggers: Frame | None = None,
    kind: Kind = "item_position",
    items: pl.Series | None = None,
    features: Sequence[str] = (),
    serving: str | None = None,
    file: object = None,
) -> Matched:
    """Join one target policy to the log, 1:1 by event, and check both; so too each of the `loggers`, if given.

    Actions must be in `items`, the log's columns `features` must not be empty, and `serving` is the digest of the
    configuration that the targets must name.

    Raises:
        InputError: every problem with its code, column, number of rows, first five events and remedy.
    """
    log_names = logged.lazy().collect_schema().names()
    needed = (*LOG_COLUMNS[:-1], "propensity" if loggers is None else "logging_policy")
    require_columns(log_names, needed, LOGGED_SLATES.name, file=file)
    if target_policy not in (known := policies(targets, file=file)):
        raise InputError(
            f"no target policy {target_policy!r}",
            file=file,
            column="target_policy",
            remedy=f"choose one of: {', '.join(map(str, known))}",
        )
    read = dict.fromkeys((*needed, *LOG_NOTES, "logging_policy", *CARRIED, *features))
    log, rules = with_candidates_judged(logged.lazy().select(name for name in read if name in log_names), kind)
    numbers = ("reward", *(("propensity",) if loggers is None else ()), *SAMPLING)
    log = as_numbers(log, [name for name in numbers if name in log.columns], file=file)
    if log.is_empty():
        raise InputError("the log has no rows", file=file, remedy="hand over a log with at least one shown item")
    target_names = targets.lazy().collect_schema().names()
    has_model = all(name in target_names for name in MODEL_COLUMNS)
    columns = ("target_probability", *(MODEL_COLUMNS if has_model else ()))
    digest = ["serving_digest"] if "serving_digest" in target_names else []
    own = targets.lazy().filter(pl.col("target_policy") == target_policy).select("event", *columns, *digest)
    chosen = as_numbers(own.collect(), columns, file=file)
    if has_model and all(chosen[name].null_count() == len(chosen) for name in MODEL_COLUMNS):
        has_model = False
    log, chosen = same_events(log, chosen, "targets", file=file)

    repeated = Rule(
        "OPE021", "event", pl.col("event").is_duplicated(), "has several target rows", "keep one per policy"
    )
    rules += log_rules(reward_range, log["reward"], mixed=loggers is not None)
    rules += carried_rules(log.columns, has_model=has_model, items=items, features=features)
    notes = [told(one) for one in broken(log, [falling_times()])] if "at" in log.columns else []
    problems = broken(log, rules) + broken(chosen, [repeated])
    if serving is not None or digest:
        problems += broken(with_digest(chosen), serving_rules(serving))
    names: list[str] = []
    if loggers is not None:
        names = log["logging_policy"].drop_nulls().unique().sort().to_list()
        log, wrong = with_loggers(log, loggers, names, file=file)
        problems += wrong
    joined = log.join(
        chosen.unique("event", keep="first", maintain_order=True).with_columns(matched=True), on="event", how="left"
    ).sort("request", "position")
    if not joined["matched"].any():
        raise InputError(
            "no event of the targets is in the log",
            file=file,
            column="event",
            rows=len(log),
            remedy="write the targets for the events of this log",
        )
    refuse(problems + broken(joined, joined_rules(has_model)) + wrong_kind(joined, kind), file=file)
    estimated = loggers is None and is_estimated(joined)
    notes += remarks(joined, len(chosen), mixed=loggers is not None)
    stands_for = sampled_weight(joined.columns)
    sampled = stands_for is not None and bool(joined.select((stands_for != 1).any()).item())
    if stands_for is not None and sampled:
        joined = joined.with_columns(sample_weight=stands_for)
        total = float(joined["sample_weight"].sum())
        notes.append(f"OPE015 {len(joined):,} sampled rows stand for about {total:,.0f}: values are weighed by that")
    return Matched(joined, has_model, estimated, tuple(notes), len(names), sampled)


def with_candidates_judged(log: pl.LazyFrame, kind: Kind) -> tuple[pl.DataFrame, list[Rule]]:
    """The log without its lists, which are counted and judged as they stream by; and rules that read what was found."""
    schema = log.collect_schema()
    log = log.with_columns(pl.col(name).arr.to_list() for name in LISTS if isinstance(schema.get(name), pl.Array))
    listed = log.collect_schema().get("candidates")
    if isinstance(listed, pl.List):
        if "item" in schema and (schema["item"] == pl.String()) != (listed.inner == pl.String()):
            raise InputError(
                "OPE012 action and candidates are of different types",
                column="item, candidates",
                remedy="write both as text, or both as numbers",
            )
        log = log.with_columns(pl.col("candidates").list.len().cast(pl.Float64).alias(ACTIONS))
    rules = candidate_rules(log.collect_schema().names(), kind)
    if not rules:
        return log.drop(LISTS, strict=False).collect(), []
    found = [rule.broken.fill_null(value=True).alias(f"broken_{number}") for number, rule in enumerate(rules)]
    judged = with_own_propensity(log).with_columns(found).drop(*LISTS, "own", strict=False)
    read = [replace(rule, broken=pl.col(f"broken_{number}")) for number, rule in enumerate(rules)]
    return judged.collect(engine="streaming"), read


def with_digest(targets: pl.DataFrame) -> pl.DataFrame:
    """Targets with a `serving_digest`, empty where they have none."""
    if "serving_digest" in targets.columns:
        return targets
    return targets.with_columns(serving_digest=pl.lit(None, pl.String))


def same_events(
    log: pl.DataFrame, other: pl.DataFrame, table: str, *, file: object
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both with events of one type, or the refusal of text beside numbers."""
    if log.schema["event"].is_integer() != other.schema["event"].is_integer():
        raise InputError(
            f"event is {log.schema['event']} in the log and {other.schema['event']} in the {table}",
            file=file,
            column="event",
            remedy="write both with the same type",
        )
    if not log.schema["event"].is_integer():
        return log, other
    return log.with_columns(pl.col("event").cast(pl.Int64)), other.with_columns(pl.col("event").cast(pl.Int64))


def with_loggers(
    log: pl.DataFrame, loggers: Frame, names: Sequence[str], *, file: object
) -> tuple[pl.DataFrame, list[Problem]]:
    """The log with what each of its loggers would have given to the shown item, and the problems of that (OPE011)."""
    require_columns(loggers.lazy().collect_schema().names(), list(LOGGERS.columns), LOGGERS.name, file=file)
    wanted = pl.col("logging_policy").is_in(list(names))
    given = loggers.lazy().filter(wanted).select(*LOGGERS.columns).collect()
    log, given = same_events(log, as_numbers(given, ("logging_probability",), file=file), LOGGERS.name, file=file)
    pair = pl.struct("event", "logging_policy")
    varies = pl.col("logging_policy").min().over("request") != pl.col("logging_policy").max().over("request")
    probability = pl.col("logging_probability")
    found = broken(
        log,
        [
            Rule("OPE011", "logging_policy", pl.col("logging_policy").is_null(), "is empty", "name every row's logger"),
            Rule("OPE011", "logging_policy", varies, "differs within one request", "a request has one logger"),
        ],
    ) + broken(
        given,
        [
            Rule("OPE011", "logging_policy", pair.is_duplicated(), "has several rows for one event", "keep one"),
            Rule(
                "OPE011",
                "logging_probability",
                ~(finite("logging_probability") & probability.is_between(0.0, 1.0)),
                "is not in [0, 1]",
                "give the probability with which that logger would have shown the item there",
            ),
        ],
    )
    log = log.with_columns(
        pl.col("logging_policy")
        .replace_strict(list(names), range(len(names)), default=None, return_dtype=pl.Int64)
        .alias("logger")
    )
    for number, name in enumerate(names):
        own = given.filter(pl.col("logging_policy") == name).unique("event", keep="first", maintain_order=True)
        column = probability.alias(f"logger_{number}")
        log = log.join(own.select("event", column), on="event", how="left", maintain_order="left")
    each = [pl.col(f"logger_{number}").is_null() for number in range(len(names))]
    lacking = pl.any_horizontal(each) if each else pl.lit(value=False)
    says = "has no probability of one of the loggers"
    remedy = f"give one row per event for each of: {', '.join(names)}"
    return log, found + broken(log, [Rule("OPE011", "event", lacking, says, remedy)])


def wrong_kind(frame: pl.DataFrame, kind: Kind) -> list[Problem]:
    """Propensities must be of what the targets are of, when there are several positions; rows in order."""
    if frame["position"].n_unique() == 1:
        return []
    rules: list[Rule] = []
    said = "item_position" if kind == "trajectory" else kind
    if "propensity_kind" in frame.columns:
        given = pl.col("propensity_kind")
        other = given.is_in(["item_position", "slate", "cascade"]) & (given != said)
        says = f"is not {said}, which --kind {kind} reads"
        rules.append(
            Rule("OPE009", "propensity_kind", other.fill_null(value=False), says, "log that kind, or see --kind")
        )
    if kind == "trajectory":
        gap = pl.col("position") - pl.col("position").min() != pl.int_range(pl.len()).over("request")
        rules.append(Rule("OPE016", "position", gap, "skips a step", "count the steps of an episode without gaps"))
    for name in ("propensity", "target_probability"):
        if kind not in ("cascade", "slate") or name not in frame.columns:
            continue
        step = pl.col(name) - pl.col(name).shift(1).over("request")
        wrong = step > ROUNDING if kind == "cascade" else step.abs() > ROUNDING
        says = "rises down the slate" if kind == "cascade" else "differs within one request"
        rules.append(Rule("OPE009", name, wrong.fill_null(value=False), says, f"give the probability of the {kind}"))
    return broken(frame, rules) if rules else []


def is_estimated(frame: pl.DataFrame) -> bool:
    """Whether some propensity comes from a model instead of the logger."""
    return "propensity_source" in frame.columns and bool((frame["propensity_source"] == "estimated").any())


def remarks(frame: pl.DataFrame, target_rows: int, *, mixed: bool) -> list[str]:
    """What is allowed but should be read beside the result; `mixed`: loggers gave the propensities."""
    said: list[str] = []
    certain = 0.0 if mixed else (frame["propensity"] == 1.0).sum() / len(frame)
    if certain > DETERMINISTIC_SHARE:
        said.append(f"OPE008 propensity is 1 on {certain:.1%} of the rows: the logger did not explore")
    if not mixed and is_estimated(frame):
        said.append("OPE010 propensities are estimated; fit them on folds that hold out each user")
    if not mixed and "logging_policy" in frame.columns and (several := frame["logging_policy"].n_unique()) > 1:
        said.append(
            f"OPE011 {several} logging policies, each row weighed by its own; a table of all loggers lowers the noise"
        )
    if target_rows > len(frame):
        said.append(f"OPE025 {target_rows - len(frame):,} target rows belong to no logged event and were not used")
    return said
