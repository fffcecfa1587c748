"""Does the bias bound hold, and what does a chosen λ cost? `python -m benchmarks.bias`.

Logs of worlds whose truth is a formula (`benchmarks.launches`), drawn again and again under one grid of λ: the bias of
each bent estimate, exact (of a ratio: that of its limit), beside what a log says of it, the plug-in bias and the bound;
and the error of the value at the λ that each rule chooses, beside the best λ of all and the untouched weights. The
model of DR and SNDR knows what an item earns on the average, and nothing of contexts.

- far: the candidate moves far, so that few rows carry most of the weight
- gaps: the logger never showed some of the items that the candidate likes
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64

from benchmarks.launches import LEVEL, Kind, World, world
from rlrec.ope.curve import curve
from rlrec.ope.evaluation import REPORTED
from rlrec.ope.selection import RULES, Rule, select
from rlrec.ope.statistics import Base, is_ratio, needs_model
from rlrec.ope.transforms import FAMILIES, Family, grid, transformed

Array = np.ndarray
WORLDS: tuple[Kind, ...] = ("far", "gaps")
POINTS = 12  # of the grid, between its ends
SHOWN: tuple[Base, Family] = ("ips", "clip")  # whose curve is printed whole


@dataclass(frozen=True, eq=False)
class Traced:
    """One base and family: λ and exact bias `[L]`, what each of R logs said, and the values at each rule's λ `[R]`."""

    parameters: Array
    bias: Array
    truth: float
    value: Float64[Array, "R L"]
    plugin: Float64[Array, "R L"]
    bound: Float64[Array, "R L"]
    chosen: dict[Rule, Array]

    @property
    def error(self) -> Array:
        """√ of the mean squared error at each λ; not a number where a log had no value."""
        return root_mean_square(self.value - self.truth)

    @property
    def within(self) -> Array:
        """The share of logs whose bound held, at each λ; not a number where the estimate has no limit."""
        return np.where(np.isfinite(self.bias), (np.abs(self.bias) <= self.bound).mean(axis=0), np.nan)


def root_mean_square(errors: Float64[Array, "R ..."]) -> Array:
    """Over logs."""
    return np.sqrt((errors**2).mean(axis=0))


def limit(made: World, model: Float64[Array, "X A"], base: Base, weights: Float64[Array, "X A"]) -> float:
    """What an estimate under these weights tends to."""
    outcome, direct = made.mean, 0.0
    if needs_model(base):
        outcome, direct = made.mean - model, float((made.candidate * model).sum(axis=1).mean())
    top, mass = (float((made.serving * weights * part).sum(axis=1).mean()) for part in (outcome, 1.0))
    if not is_ratio(base):
        return direct + top
    return direct + top / mass if mass > 0 else np.nan


def traced(kind: Kind, rows: int, logs: int, seed: int) -> dict[tuple[Base, Family], Traced]:
    """Every base and family over the same logs."""
    made = world(kind, np.random.default_rng(seed))
    model = np.broadcast_to(made.mean.mean(axis=0), made.mean.shape)
    truth = made.value(made.candidate)
    weights = np.divide(made.candidate, made.recorded, out=np.zeros_like(made.mean), where=made.recorded > 0)
    drawn = [made.log(rows, np.random.default_rng([seed, number]), model=model) for number in range(logs)]
    found: dict[tuple[Base, Family], Traced] = {}
    for family in FAMILIES:
        points = grid(weights, family, POINTS)
        for base in REPORTED:
            curves = [curve(log, base, family, parameters=points, level=LEVEL) for log in drawn]
            value, plugin, bound = (
                np.array([one[name] for one in curves]) for name in ("value", "bias_plugin", "bias_bound")
            )
            bent = (transformed(weights, family, point) for point in points.tolist())
            bias = np.array([limit(made, model, base, each) - truth for each in bent])
            chosen: dict[Rule, Array] = {rule: np.array([picked(one, rule) for one in curves]) for rule in RULES}
            found[base, family] = Traced(points, bias, truth, value, plugin, bound, chosen)
    return found


def picked(one: pl.DataFrame, rule: Rule) -> float:
    """The value at the λ that a rule chooses."""
    choice = select(one, rule)
    return np.nan if choice is None else choice.value


def along(one: Traced) -> Iterator[tuple[str, ...]]:
    """A row for each λ of a curve: means over logs, and the deviation between them."""
    columns = (one.bias, one.plugin.mean(axis=0), one.bound.mean(axis=0), one.value.std(axis=0, ddof=1), one.within)
    for parameter, *numbers, within in zip(one.parameters.tolist(), *columns, strict=True):
        yield (f"{parameter:.3g}", *(f"{number:.4f}" for number in numbers), f"{within:.0%}")


def by_family(found: dict[tuple[Base, Family], Traced]) -> Iterator[tuple[str, ...]]:
    """A row for each base and family: the biases at the middle of its grid, and the errors of what is chosen."""
    for (base, family), one in found.items():
        place = len(one.parameters) // 2
        biases = (one.bias[place], one.plugin[:, place].mean(), one.bound[:, place].mean())
        errors = [np.nanmin(one.error), one.error[-1]]
        errors += [root_mean_square(one.chosen[rule] - one.truth) for rule in RULES]
        numbers = (f"{number:.4f}" for number in (*biases, *errors))
        yield (base, f"{family} {one.parameters[place]:.3g}", *numbers, f"{np.nanmin(one.within):.0%}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bias", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--logs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=WORLDS, default=WORLDS)
    chosen = parser.parse_args(arguments)
    bias = ("true bias", "plug-in", "bound")
    for kind in chosen.only:
        found = traced(kind, chosen.rows, chosen.logs, chosen.seed)
        one = found[SHOWN]
        print(f"\n{kind}: {chosen.logs} logs of {chosen.rows} rows, truth {one.truth:.4f}. {' '.join(SHOWN)}:\n")
        print_table(("λ", *bias, "standard deviation", "within bound"), along(one))
        print(
            "\nRoot mean squared errors of the best λ, untouched weights, each rule's choice; within: at the worst λ.\n"
        )
        print_table(("base", "λ", *bias, "best λ", "untouched", *RULES, "within bound"), by_family(found))


def print_table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> None:
    """Markdown."""
    for row in (head, ("---",) * len(head), *rows):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
