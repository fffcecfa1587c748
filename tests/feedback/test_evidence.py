"""Counterfactual rewards: unbiased by enumeration, and made of a log that their fold has not seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from rlrec.batches import LoggedSlates
from rlrec.feedback.evidence import (
    FEATURES,
    Feedback,
    Surroundings,
    correction,
    count,
    cross_fit,
    describe,
    fit_reward_model,
    fold_of,
)
from rlrec.ops.slates import discounts, standardise
from tests.enumeration import draw, every_slate, marginals_of, probabilities

SIZE, K = 5, 3
ITEMS, USERS, REQUESTS = 30, 12, 8
FEEDBACK = Feedback(folds=4, trees=10, leaves=4, smallest_leaf=5)


def around(candidates: torch.Tensor, items: int) -> Surroundings:
    """Surroundings with drawn scores."""
    shape = candidates.shape
    scores = [standardise(draw(*shape, seed=seed, dtype=torch.float32)) for seed in range(3)]
    relations = draw(items, items, seed=3, dtype=torch.float32).fill_diagonal_(0.0)
    relations[0] = relations[:, 0] = 0.0
    popularity = draw(*shape, seed=4, dtype=torch.float32).abs()
    return Surroundings(torch.arange(1, 1 + shape[0]), candidates, *scores, popularity, relations)


# --- the correction, by full enumeration --------------------------------------------------------------------------

CANDIDATES = torch.tensor([[4, 9, 2, 7, 6]])
THETA = discounts(K)


@pytest.fixture(scope="module")
def enumerated():
    """Every slate with every pattern of clicks as one log of one context, and the probability of each row."""
    every, click = every_slate(SIZE, K)[0], torch.tensor([0.1, 0.9, 0.4, 0.6, 0.25], dtype=torch.float64)
    chance = 0.9 * probabilities(draw(1, SIZE)[0], every.unsqueeze(0)) + 0.1 / len(every)
    exposure = THETA.double() @ marginals_of(chance, every.unsqueeze(0), SIZE)
    patterns = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * K)
    slate = every.repeat_interleave(len(patterns), 0)
    reward = patterns.repeat(len(every), 1)
    clicked = THETA.double() * click[slate]
    of_row = chance.repeat_interleave(len(patterns)) * torch.where(reward > 0, clicked, 1 - clicked).prod(1)
    assert of_row.sum().item() == pytest.approx(1.0)
    log = LoggedSlates(
        context=torch.zeros(len(slate), dtype=torch.long),
        items=CANDIDATES[0][slate],
        reward=reward,
        propensity=torch.ones_like(reward),
        exposure=exposure[slate].float(),
    )
    return log, of_row, click


def each_row(log: LoggedSlates, floor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The correction of each row by itself `[N, C]`: every row becomes a context of its own."""
    number = len(log.items)
    alone = replace(log, context=torch.arange(number))
    return correction(around(CANDIDATES.expand(number, -1), 10), alone, np.ones(number, dtype=bool), floor)


@pytest.mark.parametrize("model", ["zero", "wild", "right"])
def test_doubly_robust_rewards_are_unbiased_whatever_the_model_says(enumerated, model):
    log, chance, click = enumerated
    q_hat = {"zero": torch.zeros(SIZE), "wild": torch.tensor([5.0, -3.0, 0.5, 2.0, 0.0]), "right": click}[model]
    observed, shown = each_row(log, floor=0.0)
    gain = q_hat + observed - shown * q_hat
    assert (chance @ gain.double()).tolist() == pytest.approx(click.tolist(), abs=1e-5)


def test_inverse_propensity_rewards_are_unbiased(enumerated):
    log, chance, click = enumerated
    observed, shown = each_row(log, floor=0.0)
    assert (chance @ observed.double()).tolist() == pytest.approx(click.tolist(), abs=1e-6)
    assert (chance @ shown.double()).tolist() == pytest.approx([1.0] * SIZE, abs=1e-6)  # mean weight one


def test_the_correction_vanishes_where_the_model_is_right_about_every_row(enumerated):
    log, _, _ = enumerated
    q_hat = torch.tensor([0.3, 0.1, 0.7, 0.2, 0.9])
    places = (log.items.unsqueeze(-1) == CANDIDATES[0]).int().argmax(-1)
    observed, shown = each_row(replace(log, reward=THETA * q_hat[places]), floor=0.0)
    assert torch.allclose(q_hat + observed - shown * q_hat, q_hat.expand_as(observed), atol=1e-5)


def test_a_floor_makes_weights_smaller_and_biases_towards_the_model(enumerated):
    log, chance, click = enumerated
    exposure = torch.zeros(SIZE).scatter(0, (log.items == CANDIDATES[0][:, None, None]).int().argmax(0).flatten(), 0.0)
    places = (log.items.unsqueeze(-1) == CANDIDATES[0]).int().argmax(-1)
    exposure[places.flatten()] = log.exposure.flatten()
    floor = float(exposure.median())
    share = (exposure / exposure.clamp_min(floor)).double()  # of an item's corrections that is kept
    observed, shown = each_row(log, floor)
    assert (chance @ observed.double()).tolist() == pytest.approx((share * click).tolist(), abs=1e-5)
    assert (chance @ shown.double()).tolist() == pytest.approx(share.tolist(), abs=1e-5)


def test_corrections_are_means_over_the_kept_requests(enumerated):
    log, _, _ = enumerated
    rows = torch.tensor([0, 77, 200, 411])
    few = LoggedSlates(*(getattr(log, name)[rows] for name in LoggedSlates.__dataclass_fields__))
    single, keep = each_row(few, 0.0), np.array([True, False, True, True])
    together = correction(around(CANDIDATES, 10), few, keep, 0.0)
    for found, each in zip(together, single, strict=True):
        assert torch.allclose(found[0], each[[0, 2, 3]].mean(0))
    nothing = correction(around(CANDIDATES, 10), few, np.zeros(4, dtype=bool), 0.0)
    assert all(found.abs().max() == 0 for found in nothing)


def test_a_shown_item_that_is_no_candidate_leaves_no_trace():
    """It must not land in a cell of another candidate, or of another context."""
    log = LoggedSlates(
        context=torch.tensor([0, 1]),
        items=torch.tensor([[1, 2], [9, 3]]),
        reward=torch.ones(2, 2),
        propensity=torch.full((2, 2), 0.5),
        exposure=torch.full((2, 2), 0.5),
    )
    observed, shown = correction(around(torch.tensor([[1, 2], [3, 4]]), 10), log, np.ones(2, dtype=bool), 0.0)
    theta = discounts(2)
    assert observed.tolist() == [[2.0, 2.0], [2.0, 0.0]]
    assert shown[1].tolist() == pytest.approx([2 * theta[1].item(), 0.0])


# --- folds and cross-fitting --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world():
    """A log of USERS x REQUESTS slates of three out of six candidates, shuffled across contexts."""
    generator = torch.Generator().manual_seed(0)
    candidates = torch.stack([1 + torch.randperm(ITEMS - 1, generator=generator)[:6] for _ in range(USERS)])
    context = torch.arange(USERS).repeat(REQUESTS)[torch.randperm(USERS * REQUESTS, generator=generator)]
    number = len(context)
    places = torch.rand(number, 6, generator=generator).argsort(1)[:, :K]
    log = LoggedSlates(
        context=context,
        items=candidates[context].gather(1, places),
        reward=(torch.rand(number, K, generator=generator) < 0.4).float(),
        propensity=torch.full((number, K), 1 / 6),
        exposure=torch.full((number, K), float(THETA.sum()) / 6),
    )
    return around(candidates, ITEMS), log


def test_folds_deal_out_the_requests_of_each_context(world):
    _, log = world
    folds = fold_of(log, 4)
    for context in range(USERS):
        of_context = folds[log.context.numpy() == context]
        assert of_context.tolist() == [ordinal % 4 for ordinal in range(REQUESTS)]
    alone = replace(log, context=torch.zeros_like(log.context))
    assert fold_of(alone, 3).tolist() == [row % 3 for row in range(len(log.context))]


def flipped(log: LoggedSlates, fold: int) -> LoggedSlates:
    """The log with every reward of one fold turned around."""
    mine = torch.from_numpy(fold_of(log, FEEDBACK.folds) == fold).unsqueeze(1)
    return replace(log, reward=torch.where(mine, 1 - log.reward, log.reward))


@pytest.mark.parametrize("fold", range(FEEDBACK.folds))
def test_a_fold_knows_nothing_of_its_own_rewards(world, fold):
    """Changing a fold's rewards changes neither its features nor its model; only its correction, and other folds."""
    surroundings, log = world
    before = cross_fit(surroundings, log, FEEDBACK, seed=0)
    after = cross_fit(surroundings, flipped(log, fold), FEEDBACK, seed=0)
    mine = torch.zeros(FEEDBACK.folds * USERS, dtype=torch.bool)
    mine[fold * USERS : (fold + 1) * USERS] = True
    assert torch.equal(after.contexts.features[mine], before.contexts.features[mine])
    assert torch.equal(after.q_hat[mine], before.q_hat[mine])
    assert not torch.equal(after.observed[mine], before.observed[mine])
    assert torch.equal(after.shown, before.shown)
    assert torch.equal(after.observed[~mine], before.observed[~mine])
    for other in range(FEEDBACK.folds):  # the test can fail: every other fold sees the change
        if other != fold:
            rows = slice(other * USERS, (other + 1) * USERS)
            assert not torch.equal(after.contexts.features[rows], before.contexts.features[rows])
            assert not torch.equal(after.q_hat[rows], before.q_hat[rows])


def test_a_fold_is_corrected_by_its_own_requests(world):
    surroundings, log = world
    found, folds = cross_fit(surroundings, log, FEEDBACK, seed=0), fold_of(log, FEEDBACK.folds)
    assert len(found.contexts) == FEEDBACK.folds * USERS
    for fold in range(FEEDBACK.folds):
        rows = slice(fold * USERS, (fold + 1) * USERS)
        observed, shown = correction(surroundings, log, folds == fold, FEEDBACK.exposure_floor)
        assert torch.equal(found.observed[rows], observed)
        assert torch.equal(found.shown[rows], shown)
        assert torch.equal(found.contexts.user[rows], surroundings.user)
        assert torch.equal(found.contexts.base[rows], surroundings.stage_a)


def test_training_rows_leave_out_their_own_fold_too(world, monkeypatch):
    """The model of a fold is fitted on features that saw neither that fold nor the fold of the row itself."""
    import rlrec.feedback.evidence as module

    surroundings, log = world
    folds, shape = fold_of(log, FEEDBACK.folds), (USERS, ITEMS)
    fitted: list = []
    whole = module.RewardModel.fit

    def spy(parts, *rest):
        fitted.append(parts)
        return whole(parts, *rest)

    monkeypatch.setattr(module.RewardModel, "fit", staticmethod(spy))
    cross_fit(surroundings, log, FEEDBACK, seed=0)
    assert len(fitted) == FEEDBACK.folds
    for fold, parts in enumerate(fitted):
        others = [other for other in range(FEEDBACK.folds) if other != fold]
        for other, part in zip(others, parts, strict=True):
            known = describe(surroundings, count(log, ~np.isin(folds, [fold, other]), shape), FEEDBACK)
            rows = torch.from_numpy(np.flatnonzero(folds == other))
            places = (log.items[rows].unsqueeze(-1) == surroundings.candidates[log.context[rows]].unsqueeze(1)).int()
            expected = known[log.context[rows].unsqueeze(1), places.argmax(-1)].reshape(-1, len(FEATURES))
            assert np.array_equal(part["features"], expected.numpy())
            assert np.allclose(part["target"] * part["weight"], log.reward[rows].reshape(-1).numpy())


def test_the_serving_model_leaves_out_the_fold_of_each_row(world, monkeypatch):
    import rlrec.feedback.evidence as module

    surroundings, log = world
    fitted: list = []
    whole = module.RewardModel.fit
    monkeypatch.setattr(
        module.RewardModel, "fit", staticmethod(lambda parts, *rest: fitted.append(parts) or whole(parts, *rest))
    )
    fit_reward_model(surroundings, log, FEEDBACK, seed=0)
    fit_reward_model(surroundings, flipped(log, 2), FEEDBACK, seed=0)
    before, after = fitted
    assert np.array_equal(after[2]["features"], before[2]["features"])
    assert not np.array_equal(after[1]["features"], before[1]["features"])


def test_counts_are_clicks_and_examinations(world):
    _, log = world
    keep = np.arange(len(log.context)) % 3 == 0
    found = count(log, keep, (USERS, ITEMS))
    clicks, examined = np.zeros((USERS, ITEMS)), np.zeros((USERS, ITEMS))
    for row in np.flatnonzero(keep):
        for k, item in enumerate(log.items[row].tolist()):
            clicks[log.context[row], item] += log.reward[row, k].item()
            examined[log.context[row], item] += THETA[k].item()
    assert np.allclose(found.clicks.toarray(), clicks)
    assert np.allclose(found.examined.toarray(), examined)
    assert found.rate == pytest.approx(clicks.sum() / examined.sum())


def test_features_are_what_their_names_say(world):
    surroundings, log = world
    counts = count(log, np.ones(len(log.context), dtype=bool), (USERS, ITEMS))
    found = dict(zip(FEATURES, describe(surroundings, counts, FEEDBACK).unbind(2), strict=True))
    clicks, examined = (torch.from_numpy(m.toarray()).float() for m in (counts.clicks, counts.examined))
    rate, at = counts.rate, lambda table: table.gather(1, surroundings.candidates)
    prior = FEEDBACK.own_prior
    assert torch.equal(found["stage_a"], surroundings.stage_a)
    assert torch.allclose(found["own_rate"], at((clicks + prior * rate) / (examined + prior)) / rate - 1, atol=1e-5)
    assert torch.allclose(found["own_examined"], at(examined).log1p(), atol=1e-6)
    assert torch.allclose(found["ease_clicks"], at(clicks @ surroundings.relations), atol=1e-4)
    surprise = (clicks - rate * examined) @ surroundings.relations
    assert torch.allclose(found["ease_surprise"], at(surprise), atol=1e-4)
    item = (clicks.sum(0) + FEEDBACK.item_prior * rate) / (examined.sum(0) + FEEDBACK.item_prior) / rate
    assert torch.allclose(found["item_rate"], item.log()[surroundings.candidates], atol=1e-5)
    user = (clicks.sum(1) + prior) / (examined.sum(1) + prior / rate) / rate
    assert torch.allclose(found["user_rate"], user.log().unsqueeze(1).expand(-1, 6), atol=1e-5)


def test_a_log_without_a_click_gives_finite_evidence(world):
    surroundings, log = world
    found = cross_fit(surroundings, replace(log, reward=torch.zeros_like(log.reward)), FEEDBACK, seed=0)
    assert torch.isfinite(found.contexts.features).all()
    assert torch.isfinite(found.q_hat).all()
    assert found.observed.abs().max() == 0
