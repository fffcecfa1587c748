"""How many wrong launches does the gate prevent? `python -m benchmarks.launches`.

Simulated launch decisions whose truth is a formula. A logging policy serves users, the log says how likely it was to
show what it showed, and a candidate is to be launched or not. Rules differ in what they ask of the log: only that the
point estimate is larger, as one does without a gate, or an interval, or the verdict too. A launch is wrong when the
candidate's true value is not above that of the policy that served. Four kinds of decision take turns:

- close: the candidate moves a little away from the logger
- far: it moves far, so that few rows carry most of the weight
- gaps: the logger never showed some of the items that the candidate likes
- stale: another policy served than the one whose propensities were recorded
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64
from scipy.stats import binomtest  # pyright: ignore[reportMissingTypeStubs]  # scipy ships none

from rlrec.ope import Rounds, evaluate
from rlrec.ope.comparison import compared, logged, summed
from rlrec.ope.selection import Grade

Array = np.ndarray
Kind = Literal["close", "far", "gaps", "stale"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LEVEL = 0.95
CONTEXTS, ITEMS = 50, 20
ROWS = 200, 20_000  # least and most; even on the logarithm
REQUESTS = 3  # of a user, on the average
CLICKS = -4.0, -1.5  # log-odds of an average item: 2 % to 18 %
TASTE, SKILL, WHIM = 0.7, 0.5, 0.7  # how items differ; what the logger knows of it, and its error
LOYALTY = 0.5, 1.5  # a user clicks this much as often as others, all requests alike
STEP: dict[Kind, tuple[float, float]] = {"close": (0.1, 0.6), "far": (1, 4), "gaps": (0.6, 2), "stale": (0.1, 1)}
GAP_SHARE = 0.3  # of the items, in each context
DRIFT = 1.0  # of the scores, between what was recorded and what served


@dataclass(frozen=True, eq=False)
class World:
    """Contexts equally likely; `[X, A]` of who served, of what was recorded, of the candidate, of mean rewards."""

    serving: Float64[Array, "X A"]
    recorded: Float64[Array, "X A"]
    candidate: Float64[Array, "X A"]
    mean: Float64[Array, "X A"]

    def value(self, policy: Float64[Array, "X A"]) -> float:
        """What a policy earns a request."""
        return float((policy * self.mean).sum(axis=1).mean())

    def log(
        self,
        rows: int,
        generator: np.random.Generator,
        max_weight: float | None = None,
        model: Float64[Array, "X A"] | None = None,
    ) -> Rounds:
        """About `rows` requests of users who keep their context and their loyalty; `max_weight` is declared."""
        requests = 1 + generator.poisson(REQUESTS - 1, size=max(rows // REQUESTS, 2))
        user = np.repeat(np.arange(len(requests)), requests)
        context = generator.integers(CONTEXTS, size=len(requests))[user]
        loyalty = generator.choice(LOYALTY, size=len(requests))[user]
        depth = self.serving.cumsum(axis=1)[context]
        item = (generator.random(len(user))[:, None] * depth[:, -1:] >= depth).sum(axis=1)
        clicked = generator.random(len(user)) < loyalty * self.mean[context, item]
        return Rounds.of(
            clicked,
            self.recorded[context, item],
            self.candidate[context, item],
            cluster=user,
            q_hat=None if model is None else model[context, item],
            q_hat_target=None if model is None else (self.candidate * model).sum(axis=1)[context],
            reward_range=(0.0, 1.0),
            max_weight=max_weight,
        )


def world(kind: Kind, generator: np.random.Generator) -> World:
    """A logger that knows a little, and a candidate that may know more, less, or the opposite."""
    shape = CONTEXTS, ITEMS
    quality = generator.normal(size=shape)
    odds = np.exp(generator.uniform(*CLICKS) + TASTE * quality)
    scores = SKILL * quality + WHIM * generator.normal(size=shape)

    def moved(step: float) -> Float64[Array, "X A"]:
        return scores + step * (generator.uniform(-1, 1) * quality + generator.normal(size=shape))

    candidate = softmax(moved(generator.uniform(*STEP[kind])))
    recorded = softmax(scores)
    serving = softmax(moved(DRIFT)) if kind == "stale" else recorded
    if kind == "gaps":
        hidden = generator.permuted(np.tile(np.arange(ITEMS) < GAP_SHARE * ITEMS, (CONTEXTS, 1)), axis=1)
        serving = recorded = softmax(np.where(hidden, -np.inf, scores))
    return World(serving, recorded, candidate, np.minimum(odds / (1 + odds), 1 / max(LOYALTY)))


def softmax(scores: Float64[Array, "X A"]) -> Float64[Array, "X A"]:
    """Probabilities of each row."""
    power = np.exp(scores - scores.max(axis=1, keepdims=True))
    return power / power.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Decision:
    """What the log said, and `gain`, the candidate's true advantage as a share of what the serving policy earns."""

    kind: Kind
    rows: int
    gain: float
    ips: float
    snips: float
    low: float
    high: float
    verdict: Grade

    @property
    def better(self) -> bool:
        """Whether a launch is right."""
        return self.gain > 0


def decision(number: int, seed: int) -> Decision:
    """One of a row of decisions, whatever else is drawn. Estimates are differences to the log's own mean reward."""
    generator = np.random.default_rng([seed, number])
    kind = KINDS[number % len(KINDS)]
    made = world(kind, generator)
    rounds = made.log(int(np.exp(generator.uniform(*np.log(ROWS)))), generator)
    found = evaluate(rounds, level=LEVEL, replicates=2)  # the verdict needs no bootstrap
    estimates = found.estimates
    rows = compared(
        [summed("candidate", estimates["snips"], rounds, seed=seed)], logged(rounds, seed=seed), LEVEL, seed=seed
    )
    paired = rows[-1]
    serving = made.value(made.serving)
    return Decision(
        kind=kind,
        rows=len(rounds),
        gain=made.value(made.candidate) / serving - 1,
        ips=estimates["ips"].value - found.logging_value,
        snips=estimates["snips"].value - found.logging_value,
        low=float(str(paired["low"])),
        high=float(str(paired["high"])),
        verdict=found.verdict.grade,
    )


RULES: dict[str, tuple[Callable[[Decision], bool], Callable[[Decision], bool]]] = {
    "IPS larger": (lambda seen: seen.ips > 0, lambda seen: not seen.ips > 0),
    "SNIPS larger": (lambda seen: seen.snips > 0, lambda seen: not seen.snips > 0),
    "lower bound": (lambda seen: seen.low > 0, lambda seen: seen.high < 0),
    "gate": (
        lambda seen: seen.low > 0 and seen.verdict != "no_support",
        lambda seen: seen.high < 0 and seen.verdict != "no_support",
    ),
    "strict gate": (
        lambda seen: seen.low > 0 and seen.verdict == "trust",
        lambda seen: seen.high < 0 and seen.verdict == "trust",
    ),
}
"""When each launches, and when it rejects; else it abstains. The strict gate asks for `trust`."""


def share(hits: int, among: int) -> str:
    """A share with its exact interval. Source: Clopper & Pearson 1934."""
    if not among:
        return "–"
    interval = binomtest(hits, among).proportion_ci(LEVEL, "exact")
    return f"{hits}/{among} = {hits / among:.1%} [{interval.low:.1%}, {interval.high:.1%}]"


def outcomes(decisions: Sequence[Decision]) -> Iterator[tuple[str, ...]]:
    """A row for each rule.

    wrong: launched, of the candidates that are not better; of launches: wrong, of what was launched; missed: not
    launched, of those that are better; gain: what launches changed, a mean over all decisions, in shares of the
    serving policy's value.
    """
    better = sum(one.better for one in decisions)
    for name, (launches, rejects) in RULES.items():
        launched = [one for one in decisions if launches(one)]
        wrong = sum(not one.better for one in launched)
        abstained = sum(not launches(one) and not rejects(one) for one in decisions)
        yield (
            name,
            share(wrong, len(decisions) - better),
            share(wrong, len(launched)),
            share(better - (len(launched) - wrong), better),
            share(abstained, len(decisions)),
            f"{sum(one.gain for one in launched) / len(decisions):+.1%}",
        )


def table(decisions: Sequence[Decision]) -> str:
    """Outcomes as Markdown."""
    head = ("rule", "wrong launches", "wrong, of launches", "missed", "abstained", "gain")
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *outcomes(decisions)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Decide and print: all decisions, then each kind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launches", description=__doc__)
    parser.add_argument("--decisions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    decisions = [decision(number, chosen.seed) for number in range(chosen.decisions)]
    for title, part in (("all", decisions), *((kind, [d for d in decisions if d.kind == kind]) for kind in KINDS)):
        grades = [one.verdict for one in part]
        print(
            f"\n{title}: {len(part)} decisions, {sum(one.better for one in part)} candidates are better; verdicts:",
            end=" ",
        )
        print(", ".join(f"{grade} {grades.count(grade)}" for grade in get_args(Grade)))
        print(table(part))


if __name__ == "__main__":
    main()
