from itertools import product

import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import dr, ips, snips
from rlrec.ope.intervals import bootstrap, clustered
from rlrec.ope.rounds import Rounds
from rlrec.ope.slates import SlateLog, product_weights, pseudoinverse, pseudoinverse_weights
from tests.ope.worlds import Slates

ITEMS, K = 4, 3
POSITIONS = np.arange(K)


def prefixes(world: Slates) -> np.ndarray:
    """Probability of the list down to each position, for every slate."""
    whole = np.zeros((len(world.slates), K))
    for k in range(K):
        keys = [tuple(slate[: k + 1]) for slate in world.slates]
        mass: dict = {}
        for key, probability in zip(keys, world.probability, strict=True):
            mass[key] = mass.get(key, 0.0) + probability
        whole[:, k] = [mass[key] for key in keys]
    return whole


def worlds(seed: int) -> tuple[Slates, Slates, np.random.Generator]:
    g = np.random.default_rng(seed)
    return Slates.plackett_luce(g.normal(size=ITEMS), K), Slates.plackett_luce(g.normal(size=ITEMS), K), g


def log_of(logging: Slates, target: Slates, reward: np.ndarray, **given) -> SlateLog:
    """Every slate once."""
    shown = logging.slates
    return SlateLog(
        reward,
        logging.marginal[shown, POSITIONS],
        target.marginal[shown, POSITIONS],
        prefixes(logging),
        prefixes(target),
        **given,
    )


def cascade_reward(logging: Slates, g: np.random.Generator) -> np.ndarray:
    """Each position's reward depends on the whole list down to it."""
    table: dict = {}
    return np.array(
        [[table.setdefault((k, tuple(slate[: k + 1])), g.normal()) for k in range(K)] for slate in logging.slates]
    )


def test_reference_values(reference):
    case = reference["extra_slate_inline_4x3"]
    given = {
        name: np.array(case["input"][name]).reshape(4, 3)
        for name in ("action", "reward", "pscore_item_position", "pi_e_item_position", "pscore_cascade", "pi_e_cascade")
    }
    log = SlateLog(
        given["reward"],
        given["pscore_item_position"],
        given["pi_e_item_position"],
        given["pscore_cascade"],
        given["pi_e_cascade"],
    )
    q = np.array(case["input"]["q_hat_rowmajor_slate_pos_action"]).reshape(4, 3, 4)
    q_hat = np.take_along_axis(q, given["action"][..., None], axis=2)[..., 0]
    q_next = q @ np.array(case["input"]["pi_e_next_action_dist"])
    cascade = log.by_cascade(q_hat, q_next)
    found = {
        "sips": ips(log.by_slate()), "iips": ips(log.by_position()), "rips": ips(cascade), "cascade_dr": dr(cascade),
        "snsips": snips(log.by_slate()), "sniips": snips(log.by_position()), "snrips": snips(cascade),
    }  # fmt: skip
    assert set(found) == set(case["expected"])
    for name, expected in case["expected"].items():
        assert found[name].value == pytest.approx(expected, rel=1e-9), name


@pytest.mark.parametrize("seed", range(3))
def test_each_is_exactly_unbiased_under_its_click_model_and_biased_beyond(seed):
    logging, target, g = worlds(seed)
    gains = np.array([1.0, 0.6, 0.5])
    any_click = g.normal(size=(len(logging.slates), K))
    cascade = cascade_reward(logging, g)
    independent = g.normal(size=(ITEMS, K))[logging.slates, POSITIONS]

    def gaps(reward: np.ndarray) -> dict[str, float]:
        log = log_of(logging, target, reward, gains=gains)
        truth = target.probability @ (reward * gains).sum(axis=1)
        made = {"sips": log.by_slate(), "rips": log.by_cascade(), "iips": log.by_position()}
        return {name: abs(logging.probability @ ips(rounds).contributions - truth) for name, rounds in made.items()}

    assert max(gaps(independent).values()) < 1e-12
    assert max(gaps(cascade)["sips"], gaps(cascade)["rips"]) < 1e-12
    assert gaps(any_click)["sips"] < 1e-12
    assert gaps(any_click)["rips"] > 1e-4
    assert gaps(cascade)["iips"] > 1e-4


def test_cascade_dr_is_unbiased_whatever_the_model_and_without_one_is_rips():
    logging, target, g = worlds(5)
    reward = cascade_reward(logging, g)
    truth = target.probability @ reward.sum(axis=1)
    q = {}
    shown = [[(k, tuple(slate[: k + 1])) for k in range(K)] for slate in logging.slates]
    for keys in shown:
        for key in keys:
            q.setdefault(key, g.normal())
    q_hat = np.array([[q[key] for key in keys] for keys in shown])
    prefix = {
        key: p for keys, row in zip(shown, prefixes(target), strict=True) for key, p in zip(keys, row, strict=True)
    }
    q_next = np.zeros_like(q_hat)
    for n, slate in enumerate(target.slates):
        for k in range(K):
            above = tuple(slate[:k])
            mass = 1.0 if k == 0 else prefix[k - 1, above]
            q_next[n, k] = sum(p / mass * q[key] for key, p in prefix.items() if key[0] == k and key[1][:k] == above)
    log = log_of(logging, target, reward)
    assert logging.probability @ dr(log.by_cascade(q_hat, q_next)).contributions == pytest.approx(truth, rel=1e-12)
    zero = np.zeros_like(q_hat)
    np.testing.assert_allclose(dr(log.by_cascade(zero, zero)).contributions, ips(log.by_cascade()).contributions)


def test_pseudoinverse_is_unbiased_for_sums_over_items_also_without_replacement():
    logging, target, g = worlds(6)
    additive = g.normal(size=(ITEMS, K))[logging.slates, POSITIONS]
    indicators = np.zeros((len(logging.slates), K * ITEMS))
    for k in range(K):
        indicators[np.arange(len(indicators)), k * ITEMS + logging.slates[:, k]] = 1.0
    weights = pseudoinverse_weights(indicators, logging.probability, target.probability)
    log = log_of(logging, target, additive)
    found, _ = pseudoinverse(log, weights)
    truth = target.probability @ additive.sum(axis=1)
    assert logging.probability @ found.contributions == pytest.approx(truth, rel=1e-9)
    assert logging.probability @ weights == pytest.approx(1)
    assert logging.probability @ weights**2 < logging.probability @ (target.probability / logging.probability) ** 2


def test_pseudoinverse_of_a_product_logger_is_the_sum_of_ratios():
    g = np.random.default_rng(7)
    marginals = g.dirichlet(np.ones(ITEMS), size=(2, K))
    slates = np.array(list(product(range(ITEMS), repeat=K)))
    each = np.stack([m[POSITIONS, slates] for m in marginals])
    prefix = each.cumprod(axis=2)
    logging, target = prefix[:, :, -1]
    log = SlateLog(g.normal(size=slates.shape), each[0], each[1], prefix[0], prefix[1])
    indicators = np.zeros((len(slates), K * ITEMS))
    for k in range(K):
        indicators[np.arange(len(slates)), k * ITEMS + slates[:, k]] = 1.0
    np.testing.assert_allclose(product_weights(log), pseudoinverse_weights(indicators, logging, target), atol=1e-9)
    found, whole = pseudoinverse(log, product_weights(log))
    assert found.value == pytest.approx((log.reward.sum(axis=1) * product_weights(log)).mean())
    assert found.standard_error == pytest.approx(found.contributions.std(ddof=1) / np.sqrt(len(slates)))
    normalised, _ = pseudoinverse(log, product_weights(log), "snips")
    assert normalised.standard_error == pytest.approx(normalised.contributions.std() / np.sqrt(len(slates)))
    assert normalised.value == pytest.approx(found.value / product_weights(log).mean())
    again = bootstrap([normalised], whole, 0.95, seed=0)[0]
    assert again.standard_error == pytest.approx(clustered(normalised, whole, 0.95).standard_error, rel=0.3)


def test_with_one_position_all_are_the_plain_ones():
    g = np.random.default_rng(8)
    reward, p, target = g.normal(size=(30, 1)), g.uniform(0.1, 1, (30, 1)), g.uniform(0, 1, (30, 1))
    log, plain = SlateLog(reward, p, target, p, target), Rounds.of(reward, p, target)
    for rounds in (log.by_slate(), log.by_cascade(), log.by_position()):
        assert ips(rounds).value == ips(plain).value
    found, _ = pseudoinverse(log, product_weights(log))
    assert found.value == pytest.approx(ips(plain).value)


def test_short_slates_end_at_their_last_item():
    reward, prefix, target = np.ones((2, 3)), np.array([[0.5, 0.2, 0.1]] * 2), np.array([[0.5, 0.4, 0.1]] * 2)
    mask = np.array([[True, True, True], [True, True, False]])
    log = SlateLog(reward, prefix, target, prefix, target, mask=mask)
    np.testing.assert_allclose(log.by_slate().weights, [[1, 1, 1], [2, 2, 0]])


def test_a_longer_list_cannot_be_more_likely():
    one = np.array([[0.5, 0.2], [0.1, 0.3]])
    with pytest.raises(InputError, match="OPE009") as caught:
        SlateLog(one, one, one, one, one)
    assert caught.value.rows == 1
