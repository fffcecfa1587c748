"""Whoever draws the log: the bias, exact by enumeration, stays within R·M, and M within its bound."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from rlrec.ope.bounds import Pilot, misplaced_mass, outcome_range
from rlrec.ope.curve import curve
from rlrec.ope.estimators import estimate
from rlrec.ope.rounds import Rounds
from rlrec.ope.transforms import FAMILIES, Family, greatest_excess, transformed
from tests.ope.test_transforms import TRIED
from tests.ope.worlds import Bandit, random_bandit

BASES = ("ips", "snips", "dr", "sndr")
RANGES = ((0.0, 1.0), (-1.0, 0.5), (-3.0, -1.0), (1.0, 5.0))
PARTS = 40
MIDDLE = {"clip": 1.5, "switch": 2.5, "os": 3.0, "sg": 0.4, "power": 0.6}


@dataclass(frozen=True)
class Slates:
    """A bandit for each position, in shared contexts; `shown` says which contexts have which positions `[X, K]`."""

    bandits: tuple[Bandit, ...]
    shown: np.ndarray
    models: tuple[np.ndarray, ...]
    reward_range: tuple[float, float]

    @property
    def value(self) -> float:
        """What the target policy earns a request."""
        by_context = [(bandit.target * bandit.mean).sum(axis=1) for bandit in self.bandits]
        return float((np.column_stack(by_context) * self.shown).sum(axis=1).mean())

    def exact(self) -> Rounds:
        """Shares and rewards as expected, so that every mean over the log is the expectation."""
        logs = [bandit.exact(PARTS, model=model) for bandit, model in zip(self.bandits, self.models, strict=True)]
        names = ("reward", "propensity", "target_probability", "q_hat", "q_hat_target")
        columns = {name: np.column_stack([getattr(log, name) for log in logs]) for name in names}
        mask = np.repeat(self.shown, PARTS, axis=0)
        return Rounds.of(**columns, mask=mask, reward_range=self.reward_range)

    def misplaced(self, family: Family, parameter: float) -> float:
        """M, exactly."""
        total = 0.0
        for bandit, shown in zip(self.bandits, self.shown.T, strict=True):
            met = bandit.logging > 0
            weight = np.divide(bandit.target, bandit.logging, out=np.zeros_like(bandit.target), where=met)
            bent = transformed(weight, family, parameter)
            by_context = (bandit.logging * (1 - bent + 2 * np.maximum(bent - weight, 0))).sum(axis=1)
            total += float((by_context * shown).mean())
        return total


def random_slates(seed: int) -> Slates:
    """One or two positions; support may be missing, loggers may be deterministic, the model wrong or out of range."""
    g = np.random.default_rng(seed)
    low, high = RANGES[seed % len(RANGES)]
    positions = 1 + seed // len(RANGES) % 2
    stray = (high - low) * g.integers(2)  # beyond the range of rewards
    bandits: list[Bandit] = []
    models: list[np.ndarray] = []
    for _ in range(positions):
        made = random_bandit(g, parts=PARTS, supported=bool(g.integers(2)))
        if not g.integers(4):
            made = Bandit(np.eye(4)[g.integers(4, size=2)], made.target, made.mean)
        extreme = g.choice([low, high], size=made.mean.shape)
        bandits.append(
            Bandit(made.logging, made.target, np.where(g.integers(2), extreme, g.uniform(low, high, made.mean.shape)))
        )
        model = g.uniform(low - stray, high + stray, made.mean.shape)
        met = made.logging > 0
        seen = min(low, model[met].min()), max(high, model[met].max())
        models.append(np.where(met, model, np.clip(model, *seen)))
    shown = np.ones((2, positions), dtype=bool)
    shown[1, 1:] = bool(g.integers(2))
    return Slates(tuple(bandits), shown, tuple(models), (low, high))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bias_stays_within_the_bound_whatever_the_world(family):
    """Of a ratio: the bias of its limit."""
    for seed in range(32):
        world = random_slates(seed)
        rounds = world.exact()
        assert curve(rounds, "dr", family)["value"].is_finite().all()
        for base in BASES:
            worst = outcome_range(base, rounds)
            for row in curve(rounds, base, family, parameters=np.array(TRIED[family]), truth=world.value).iter_rows(
                named=True
            ):
                certain = worst * world.misplaced(family, row["lambda"])
                assert row["bias_bound"] >= certain - 1e-9
                if row["value"] is not None:
                    assert abs(row["true_bias"]) <= certain + 1e-9


@pytest.mark.parametrize("base", BASES)
def test_no_smaller_range_of_outcomes_would_do(base):
    """Rewards and predictions at the ends of their range reach the bound: an item that the logger never shows."""
    bandit = Bandit(np.array([[1.0, 0.0]]), np.array([[0.75, 0.25]]), np.array([[1.0, 5.0]]))
    rounds = bandit.exact(PARTS, model=np.array([[7.0, 1.0]]), reward_range=(1.0, 5.0))
    bias = curve(rounds, base, "clip", parameters=np.array([np.inf]), truth=bandit.value)["true_bias"][0]
    reached = {"ips": 5, "snips": 5 - 1, "dr": 5 - 1, "sndr": (7 - 1) + (5 - 1)}
    assert abs(bias) == pytest.approx(reached[base] * 0.25)
    assert outcome_range(base, rounds) >= reached[base]


def test_ranges_of_outcomes():
    """R by its formula, for predictions inside the declared range and beyond it."""
    for (low, high), q, dr in (((0.0, 1.0), 0.3, 1), ((-3.0, -1.0), -2, 2), ((1.0, 5.0), 7, 6), ((-1.0, 0.5), -2, 2.5)):
        rounds = Rounds.of(
            np.full(3, low), np.ones(3), np.ones(3), q_hat=np.full(3, q), q_hat_target=np.full(3, q),
            reward_range=(low, high),
        )  # fmt: skip
        expected = {"ips": max(abs(low), abs(high)), "snips": high - low, "dr": dr, "sndr": dr + high - low}
        assert {base: outcome_range(base, rounds) for base in BASES} == pytest.approx(expected)
    assert np.isnan(outcome_range("ips", Rounds.of(np.ones(3), np.ones(3), np.ones(3))))


@pytest.mark.parametrize("base", BASES)
def test_a_list_that_was_never_shown_takes_the_prediction_below_it_along(base):
    """Cascades: the target puts an unknown item on top with 0.1, so M = 0.2; rewards of 2 each, predicted as 1."""
    log = pl.DataFrame({"event": [1, 2], "request": 1, "user": 1, "position": [1, 2], "reward": 2.0, "propensity": 1.0})
    targets = pl.DataFrame(
        {"event": [1, 2], "target_policy": "new", "target_probability": 0.9, "q_hat": 1.0, "q_hat_target": 1.0}
    )
    rounds = Rounds.from_tables(log, targets, "new", kind="cascade", reward_range=(1.0, 2.0))
    value = estimate(base, rounds).value
    assert base != "dr" or value == pytest.approx(2 + 2 - 3 * 0.1)
    assert abs(value - (2 + 2)) <= outcome_range(base, rounds) * 0.2


LOGS, LEVEL = 60, 0.8


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_reported_bound_covers_the_bias_as_often_as_it_says(base, family):
    """Outcomes as bad as they can be: the bias of IPS and DR is R·M, and without the margin half of the logs fail."""
    logging, target = np.array([[0.6, 0.4, 0.0]]), np.array([[0.2, 0.5, 0.3]])
    weight = np.divide(target, logging, out=np.zeros_like(target), where=logging > 0)
    bent = transformed(weight, family, MIDDLE[family])
    mean = 5 * np.where(target >= logging * bent, 1.0, -1.0)
    world, points = Bandit(logging, target, mean), np.array([MIDDLE[family]])
    rounds = world.exact(PARTS, model=-mean, reward_range=(-5.0, 5.0))
    bias = abs(curve(rounds, base, family, parameters=points, truth=world.value)["true_bias"][0])
    mass = float((logging * (1 - bent + 2 * np.maximum(bent - weight, 0))).sum())
    if base in ("ips", "dr"):
        assert bias == pytest.approx(outcome_range(base, rounds) * mass)
    g, hits = np.random.default_rng(7), 0
    for _ in range(LOGS):
        action = g.choice(3, size=200, p=logging[0])
        log = world.rounds(np.zeros_like(action), action, mean[0, action], -mean, reward_range=(-5.0, 5.0))
        hits += curve(log, base, family, parameters=points, level=LEVEL)["bias_bound"][0] >= bias
    assert hits >= LEVEL * LOGS


def test_weights_that_grow_need_the_second_term():
    """R(1 - E ŵ) alone says 0.36 where sg bends by 0.48."""
    world = Bandit(np.array([[0.05, 0.15, 0.8]]), np.array([[0.2, 0.6, 0.2]]), np.array([[1.0, 1.0, 0.0]]))
    rounds = world.exact(200_000, reward_range=(0.0, 1.0))
    row = curve(rounds, "ips", "sg", parameters=np.array([0.5]), truth=world.value).row(0, named=True)
    assert row["true_bias"] == pytest.approx(-0.48)
    assert row["mass_missing"] == pytest.approx(0.36)
    assert 0.48 < row["bias_bound"] < 0.8


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_misplaced_mass_is_covered_by_its_bound(family, k):
    """At 90 %, at least 90 % of the logs must bound the true mass; users of three requests each."""
    g, parameter = np.random.default_rng(5), {"clip": 1.5, "switch": 2.5, "os": 3.0, "sg": 0.4, "power": 0.6}[family]
    logging, target = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.5, 0.3])
    bent = transformed(target / logging, family, parameter)
    true = k * float(logging @ (1 - bent + 2 * np.maximum(bent - target / logging, 0)))
    hits, bounds = 0, []
    for _ in range(100):
        action = g.choice(3, size=(600, k), p=logging)
        rounds = Rounds.of(np.zeros((600, k)), logging[action], target[action], cluster=np.repeat(np.arange(200), 3))
        weights = transformed(rounds.weights, family, parameter)
        bounds.append(misplaced_mass(rounds, weights, family, parameter, 0.1, Pilot.of(rounds))[0])
        hits += bounds[-1] >= true
    assert hits >= 90
    assert np.mean(bounds) < k * (1 + 2 * greatest_excess(family, parameter))


def test_a_bound_of_an_untouched_weight_shrinks_with_the_log():
    world = random_bandit(np.random.default_rng(3), supported=True)
    g = np.random.default_rng(4)
    bounds = [
        curve(world.sample(n, g, reward_range=(0.0, 1.0)), "ips", "clip", parameters=np.array([np.inf]))["bias_bound"][
            0
        ]
        for n in (500, 50_000)
    ]
    assert bounds[1] < bounds[0] / 2
    capped = world.sample(500, g, reward_range=(0.0, 1.0), max_weight=1_000.0)
    assert curve(capped, "ips", "clip", parameters=np.array([np.inf]))["bias_bound"][0] == 1
