"""Answers: would a policy beat what runs today? In one sentence, as a table, and what to do next."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from rlrec.ope.comparison import LOGGING
from tasks.report.glossary import RULE_NOTES, VERDICTS
from tasks.report.grids import Cell, Grid, Row, figure_cell
from tasks.report.wording import estimator_title, interval, number, reading

METRIC = "value"  # of rewards, more is better
GRADES = ("trust", "caution", "no_support")
Ends = tuple[float | None, float | None, float | None]
SHOWN = {
    "better": "would have beaten {}",
    "worse": "would have earned less than {}",
    "not shown": "is not shown to beat {}",
    "no interval": "differs from {}, but without an interval",
}
TALLIES = (  # how answers are counted, by reading and verdict, in the words that follow “Of 5 policies, ”
    (("better", "trust"), "{} would have beaten what runs today"),
    (("better", "caution"), "{} would seem to, with caution"),
    (("not shown", None), "{} cannot be shown to"),
    (("no interval", None), "{} cannot be judged without an interval"),
    (("worse", None), "{} would have earned less"),
    ((None, "no_support"), "for {} this log cannot tell"),
)
NEXT = {
    "better": "Confirm it in a live test on a small share of traffic, and log the propensities that it serves with.",
    "worse": "Do not launch it. Where it may still be better, `--by COLUMN` tells by parts of the log.",
    "not shown": "The log is too short or too far from the policy to tell. `--plan HALF_WIDTH` says how long the next "
    "one must be, and how much less if the policy serves a share of it.",
    "no interval": "Log more users: one alone has no spread.",
}
UNSUPPORTED = "Decide nothing from this log, neither a launch nor a rejection: first mend what the failed rules name."
BEST_OF_MANY = "The best of several on one log is partly luck: confirm the winner on another log before quoting it."
NO_RANGE = "Declare `--reward-min` and `--reward-max`: they add the bias bound and an interval that stays inside them."


@dataclass(frozen=True)
class Answer:
    """A policy beside a rival: both values, their paired difference with its interval, and the verdict of the log."""

    policy: str
    rival: str
    verdict: str
    rival_value: float | None
    value: Ends
    difference: Ends
    estimator: str

    @property
    def reading(self) -> str:
        """What the difference says by itself."""
        return reading(*self.difference[1:], METRIC)

    @property
    def tally(self) -> tuple[str | None, str | None]:
        """As what the answer counts: without support, only as that; with caution, better is not yet better."""
        if self.verdict == "no_support":
            return None, self.verdict
        return self.reading, self.verdict if self.reading == "better" else None

    def sentence(self, unit: str, level: str) -> str:
        """The answer in words; one that the log does not support says so first."""
        gap, *ends = self.difference
        rival = "what runs today" if self.rival == LOGGING else self.rival
        size = f"{number(gap, signed=True)} reward per {unit}"
        size += f" ({level} interval {interval(*ends, signed=True)}" if interval(*ends) else ""
        if self.verdict == "no_support":
            size += ")" if interval(*ends) else ""
            return f"This log cannot tell whether {self.policy} would beat {rival}. Do not read its {size} as a result."
        caution = "With caution: " if self.verdict == "caution" else ""
        zero = ", which includes zero" if self.reading == "not shown" else ""
        size += f"{zero})" if interval(*ends) else ""
        return f"{caution}{self.policy} {SHOWN[self.reading].format(rival)}: {size}."


def answers(diagnostics: Mapping[str, Any], compared: pl.DataFrame) -> list[Answer]:
    """An answer for each policy and each rival that it is compared with: what served, first of all."""
    rows = compared.rows(named=True)
    values = {one["target_policy"]: ends(one) for one in rows if one["reference"] is None}
    return [
        Answer(
            policy := one["target_policy"],
            rival := one["reference"],
            max((diagnostics[name]["verdict"] for name in (policy, rival) if name in diagnostics), key=GRADES.index),
            diagnostics[policy]["logging_value"] if rival == LOGGING else values[rival][0],
            values[policy],
            ends(one),
            one["estimator"],
        )
        for one in sorted(
            (one for one in rows if one["reference"] is not None), key=lambda one: one["reference"] != LOGGING
        )
    ]


def gate_lines(decided: Mapping[str, Any]) -> list[str]:
    """What `decision.json` says, a sentence a policy."""
    return [
        f"Gate: {policy} {'passes' if one['passes'] else 'does not pass'} against "
        f"{'what runs today' if one['reference'] == LOGGING else one['reference']}, by a margin of "
        + "; ".join((number(one["margin"]), *one["reasons"]))
        for policy, one in decided.items()
    ]


def ends(row: Mapping[str, Any]) -> Ends:
    """A value and its interval."""
    return row["value"], row["low"], row["high"]


def headline(found: Sequence[Answer], unit: str, level: str) -> str:
    """One sentence for all: the answer itself, or how many policies have which."""
    first = [one for one in found if one.rival == LOGGING]
    if len(first) == 1:
        return first[0].sentence(unit, level)
    counts = Counter(one.tally for one in first)
    told = [text.format(counts[key] or "none") for key, text in TALLIES if counts[key] or key == TALLIES[0][0]]
    return f"Of {len(first)} policies, " + ", ".join(told) + "."


def tone(found: Sequence[Answer]) -> str:
    """The colour of the page's head: good only if every policy is better on a log that supports it."""
    if any(one.verdict == "no_support" or one.reading == "worse" for one in found):
        return "bad"
    return "good" if all(one.tally == TALLIES[0][0] for one in found) else "open"


def answer_grid(found: Sequence[Answer], unit: str) -> Grid:
    """What runs today (or another rival), each policy, their difference, and how to read it."""
    groups: dict[str, list[Row]] = {}
    for one in found:
        gap, *around = one.difference
        said = "cannot tell" if one.verdict == "no_support" else one.reading
        cells = (
            Cell(number(one.rival_value), "", one.rival_value),
            figure_cell(*one.value),
            Cell(number(gap, signed=True), interval(*around, signed=True), gap),
            Cell(said, "", said, f"reading {said}"),
            Cell(VERDICTS[one.verdict], "", one.verdict, f"verdict {one.verdict}"),
        )
        title = "" if one.rival == LOGGING else f"Compared with {one.rival}"
        groups.setdefault(title, []).append(Row(one.policy, f"by {estimator_title(one.estimator)}", cells))
    columns = ("Runs today", "With the policy", "Difference", "Reading", "Verdict")
    shown = tuple((title, tuple(rows)) for title, rows in groups.items())
    return Grid("answers", f"Reward per {unit}: what runs today, and each policy in its place", columns, shown)


def next_steps(
    found: Sequence[Answer], diagnostics: Mapping[str, Any], *, has_range: bool, has_plan: bool
) -> list[str]:
    """What to do: by the answers, then by the rules that failed, then what was left undeclared."""
    steps = [
        (one.policy, UNSUPPORTED if one.verdict == "no_support" else NEXT[one.reading])
        for one in sorted(found, key=lambda one: -GRADES.index(one.verdict))
        if one.rival == LOGGING
    ]
    steps += [
        (policy, RULE_NOTES[failed["rule"]][1])
        for policy, one in diagnostics.items()
        for failed in one["failed"]
        if failed["rule"] in RULE_NOTES
    ]
    said = said_once([one for one in steps if not (has_plan and one[1] == NEXT["not shown"])], len(diagnostics))
    return said + ([BEST_OF_MANY] if len(diagnostics) > 1 else []) + ([] if has_range else [NO_RANGE])


def said_once(notes: Iterable[tuple[str, str]], policies: int) -> list[str]:
    """Notes on policies, each once, with the policies that it is about unless it is about all."""
    found: dict[str, dict[str, None]] = {}
    for policy, text in notes:
        found.setdefault(text, {})[policy] = None
    return [text if len(about) == policies else f"{', '.join(about)}: {text}" for text, about in found.items()]
