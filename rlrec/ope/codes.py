"""What can be wrong with a log: every code with its meaning, and the rules of the columns that a log may also carry.

A code keeps its meaning for ever. Those in `REMARKS` are told beside the result, all others refuse the log.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import polars as pl

Kind = Literal["item_position", "cascade", "slate", "trajectory"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CODES = {
    "OPE001": "an event is empty or repeated",
    "OPE002": "a request or user is empty, or a request has several users",
    "OPE003": "times fall from one row to the next",
    "OPE004": "a position is empty, or repeated within its request",
    "OPE005": "an action is empty, or not in the declared catalogue",
    "OPE006": "a reward is no finite number, or outside the declared range",
    "OPE007": "a propensity is empty or not in (0, 1]",
    "OPE008": "nearly all propensities are 1",
    "OPE009": "probabilities are not of the declared kind",
    "OPE010": "propensities are estimated",
    "OPE011": "loggers, or their probabilities, are missing; or several loggers are not told apart",
    "OPE012": "candidates and their propensities do not fit each other, the action or its propensity",
    "OPE013": "a column that is asked about has empty values",
    "OPE014": "the predictions' folds part the rows of a user",
    "OPE015": "weights of sampled rows are wrong, or not known to what is asked",
    "OPE016": "steps of an episode are missing",
    "OPE020": "an event has no target",
    "OPE021": "an event has several targets of one policy",
    "OPE022": "a target probability is not in [0, 1]",
    "OPE023": "target probabilities are not of the configuration that will serve",
    "OPE024": "reward predictions are missing",
    "OPE025": "targets belong to no event",
}
REMARKS = frozenset({"OPE003", "OPE008", "OPE010", "OPE011", "OPE015", "OPE025"})
"""Some of OPE011 and OPE015 refuse the log."""

SAMPLING = ("keep_probability", "sample_weight")
LISTS = ("candidates", "candidate_propensities")
PLACE = "row of the log"
HOLDER = "user of the fold"  # where another column is read as the user
CARRIED = ("at", "item", *LISTS, "fold", HOLDER, *SAMPLING)
"""Columns that are judged where a log has them."""
ROUNDING = 1e-9
SUM_ROUNDING = 1e-6  # of probabilities over all candidates


@dataclass(frozen=True)
class Rule:
    """Rows where `broken` holds are a problem; a null condition counts as broken."""

    code: str
    column: str
    broken: pl.Expr
    says: str
    remedy: str


def finite(column: str) -> pl.Expr:
    """Whether a value is there and is a number."""
    return pl.col(column).is_not_null() & pl.col(column).is_finite()


def falling_times() -> Rule:
    """OPE003, for rows in the order of their file."""
    falls = (pl.col("at") < pl.col("at").shift(1)).fill_null(value=False)
    return Rule("OPE003", "at", falls, "falls from one row to the next", "sort the log by time")


def carried_rules(
    columns: Collection[str], *, has_model: bool, items: pl.Series | None, features: Sequence[str]
) -> list[Rule]:
    """What must hold of the columns that this log has, but for its lists; `features` are those that are asked about."""
    rules = [
        Rule("OPE013", name, pl.col(name).is_null(), "is empty", f"fill {name}, or name such rows")
        for name in features
        if name in columns
    ]
    if "item" in columns:
        item = pl.col("item")
        rules.append(Rule("OPE005", "item", item.is_null(), "is empty", "log what was shown"))
        if items is not None:
            stranger = item.is_not_null() & ~item.cast(pl.String).is_in(items.cast(pl.String).implode())
            rules.append(Rule("OPE005", "item", stranger, "is not in the catalogue", "give the catalogue of that time"))
    if "fold" in columns and has_model:
        user = HOLDER if HOLDER in columns else "user"
        several = pl.col("fold").min().over(user) != pl.col("fold").max().over(user)
        parted = pl.col("fold").is_null() | (several & pl.col(user).is_not_null())
        says = "is empty, or differs within one user"
        rules.append(Rule("OPE014", "fold", parted, says, "hold out whole users when q_hat is fitted"))
    return rules + sampling_rules(columns)


def sampling_rules(columns: Collection[str]) -> list[Rule]:
    """OPE015: a row stands for 1/keep_probability rows, whichever of the two columns says so."""
    keep, weight = pl.col("keep_probability"), pl.col("sample_weight")
    rules: list[Rule] = []
    if "keep_probability" in columns:
        wrong = ~(finite("keep_probability") & (keep > 0) & (keep <= 1))
        remedy = "log the probability with which this row was kept, 1 where none of its sort was dropped"
        rules.append(Rule("OPE015", "keep_probability", wrong, "is not in (0, 1]", remedy))
    if "sample_weight" in columns:
        wrong = ~(finite("sample_weight") & (weight > 0))
        rules.append(Rule("OPE015", "sample_weight", wrong, "is not positive", "give 1/keep_probability"))
    if len(rules) == len(SAMPLING):
        other = ((weight * keep - 1).abs() > ROUNDING).fill_null(value=False)
        rules.append(Rule("OPE015", "sample_weight", other, "is not 1/keep_probability", "keep one of both columns"))
    return rules


def sampled_weight(columns: Collection[str]) -> pl.Expr | None:
    """How many rows a row stands for, if the log says."""
    if "sample_weight" in columns:
        return pl.col("sample_weight")
    return 1 / pl.col("keep_probability") if "keep_probability" in columns else None


def candidate_rules(columns: Collection[str], kind: Kind) -> list[Rule]:
    """OPE012, for a log as `with_own_propensity` completes it."""
    rules: list[Rule] = []
    if {"candidates", "item"} <= set(columns):
        absent = ~pl.col("candidates").list.contains(pl.col("item"))
        rules.append(Rule("OPE012", "candidates", absent, "lack the action", "log all that could be shown"))
    if set(LISTS) <= set(columns):
        given = pl.col("candidate_propensities")
        uneven = given.list.len() != pl.col("candidates").list.len()
        total = (given.list.sum() - 1).abs() > SUM_ROUNDING
        remedy = "log one propensity per candidate, in the same order"
        rules.append(Rule("OPE012", "candidate_propensities", uneven, "are not as many as candidates", remedy))
        says = "do not sum to 1"
        rules.append(Rule("OPE012", "candidate_propensities", total, says, "log the whole distribution"))
    if {*LISTS, "item", "propensity"} <= set(columns) and kind == "item_position":
        logged = pl.col("propensity").cast(pl.Float64, strict=False)
        differs = ((pl.col("own") - logged).abs() > ROUNDING).fill_null(value=False)
        says = "differs from the action's entry in candidate_propensities"
        rules.append(Rule("OPE012", "propensity", differs, says, "log both from the same softmax, as float64"))
    return rules


def with_own_propensity(log: pl.LazyFrame) -> pl.LazyFrame:
    """The log with `own`, what its candidates' propensities give to the item; null where they do not fit."""
    if not {*LISTS, "item"} <= set(log.collect_schema().names()):
        return log
    rows = log.select("item", "candidates", "candidate_propensities").with_row_index(PLACE)
    even = rows.filter(pl.col("candidates").list.len() == pl.col("candidate_propensities").list.len())
    pairs = even.explode("candidates", "candidate_propensities").filter(pl.col("candidates") == pl.col("item"))
    own = pairs.group_by(PLACE).agg(own=pl.col("candidate_propensities").sum())
    return log.with_row_index(PLACE).join(own, on=PLACE, how="left", maintain_order="left").drop(PLACE)


def serving_rules(serving: str | None) -> list[Rule]:
    """OPE023, for the rows of one target policy that have a column `serving_digest`."""
    digest = pl.col("serving_digest")
    expected = pl.lit(serving) if serving is not None else digest.first()
    says = f"is not {serving}, which will serve" if serving is not None else "differs within one policy"
    remedy = "compute target_probability with the temperature and filters that will serve, and store their digest"
    return [Rule("OPE023", "serving_digest", digest.ne_missing(expected), says, remedy)]
