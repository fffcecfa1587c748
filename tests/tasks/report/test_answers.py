"""Each answer says what its interval and its verdict allow, and nothing more."""

import polars as pl
import pytest

from tasks.report.answers import (
    BEST_OF_MANY,
    NEXT,
    NO_RANGE,
    UNSUPPORTED,
    answer_grid,
    answers,
    headline,
    next_steps,
    said_once,
    tone,
)
from tasks.report.glossary import RULE_NOTES, RULES

ENDS = {
    "better": (0.2, 0.1, 0.3),
    "not shown": (0.2, -0.1, 0.5),
    "worse": (-0.2, -0.3, -0.1),
    "no interval": (0.2, None, None),
}


def told(*policies: tuple[str, str, str], rival: str = "logging") -> tuple[dict, pl.DataFrame]:
    """Diagnostics and comparison of policies, given as name, verdict and what their difference says."""
    rule = {"rule": "k_hat", "value": 0.9, "limit": 0.7, "grade": "caution"}
    seen = {
        name: {"verdict": grade, "logging_value": 0.5, "failed": [] if grade == "trust" else [rule]}
        for name, grade, _ in policies
    }
    rows = [(name, None, "sndr", 0.7, 0.6, 0.8) for name, _, _ in policies]
    rows += [(name, rival, "sndr", *ENDS[said]) for name, _, said in policies if name != rival]
    names = ("target_policy", "reference", "estimator", "value", "low", "high")
    return seen, pl.DataFrame(rows, schema=names, orient="row")


@pytest.mark.parametrize(
    ("grade", "said", "sentence", "colour"),
    [
        (
            "trust",
            "better",
            "new would have beaten what runs today: +0.200 reward per row (95 % interval +0.100 to +0.300).",
            "good",
        ),
        ("caution", "better", "With caution: new would have beaten what runs today", "open"),
        (
            "trust",
            "not shown",
            "new is not shown to beat what runs today: +0.200 reward per row "
            "(95 % interval −0.100 to +0.500, which includes zero).",
            "open",
        ),
        ("trust", "worse", "new would have earned less than what runs today: −0.200", "bad"),
        (
            "trust",
            "no interval",
            "new differs from what runs today, but without an interval: +0.200 reward per row.",
            "open",
        ),
        *(("no_support", said, "This log cannot tell whether new would beat what runs today.", "bad") for said in ENDS),
    ],
)
def test_the_sentence_claims_what_interval_and_verdict_allow(grade: str, said: str, sentence: str, colour: str) -> None:
    seen, compared = told(("new", grade, said))
    found = answers(seen, compared)
    assert headline(found, "row", "95 %").startswith(sentence)
    assert tone(found) == colour


def test_several_policies_are_counted_each_once() -> None:
    seen, compared = told(
        ("a", "trust", "better"), ("b", "caution", "better"), ("c", "caution", "not shown"),
        ("d", "no_support", "better"), ("e", "trust", "better"), ("f", "trust", "worse"),
    )  # fmt: skip
    said = "Of 6 policies, 2 would have beaten what runs today, 1 would seem to, with caution, 1 cannot be shown to, "
    assert (
        headline(answers(seen, compared), "row", "95 %")
        == said + "1 would have earned less, for 1 this log cannot tell."
    )
    only = answers(*told(("a", "trust", "worse"), ("b", "no_support", "worse")))
    assert headline(only, "row", "95 %").startswith("Of 2 policies, none would have beaten")


def test_another_rival_has_its_own_group_and_lends_its_verdict() -> None:
    seen, first = told(("new", "trust", "better"), ("old", "no_support", "worse"))
    _, second = told(("new", "trust", "better"), ("old", "no_support", "worse"), rival="old")
    found = answers(seen, pl.concat([second.filter(pl.col("reference") == "old"), first]))
    assert [(one.policy, one.rival, one.verdict) for one in found] == [
        ("new", "logging", "trust"), ("old", "logging", "no_support"), ("new", "old", "no_support"),
    ]  # fmt: skip
    grid = answer_grid(found, "row")
    assert [title for title, _ in grid.groups] == ["", "Compared with old"]
    assert grid.groups[1][1][0].cells[0].value == 0.7


def test_what_to_do_follows_from_answers_and_failed_rules() -> None:
    seen, compared = told(("a", "no_support", "better"), ("b", "caution", "not shown"))
    steps = next_steps(answers(seen, compared), seen, has_range=False, has_plan=False)
    assert steps == [f"a: {UNSUPPORTED}", f"b: {NEXT['not shown']}", RULE_NOTES["k_hat"][1], BEST_OF_MANY, NO_RANGE]
    planned = next_steps(answers(seen, compared), seen, has_range=True, has_plan=True)
    assert planned == [f"a: {UNSUPPORTED}", RULE_NOTES["k_hat"][1], BEST_OF_MANY]
    seen, compared = told(("a", "trust", "better"))
    assert next_steps(answers(seen, compared), seen, has_range=True, has_plan=False) == [NEXT["better"]]


def test_every_rule_is_explained() -> None:
    assert RULE_NOTES.keys() == RULES.keys()


def test_a_note_on_all_policies_is_said_once() -> None:
    notes = [("a", "Short."), ("b", "Short."), ("a", "Odd."), ("a", "Odd.")]
    assert said_once(notes, policies=2) == ["Short.", "a: Odd."]
