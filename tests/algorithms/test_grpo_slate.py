"""GRPO-RS starts at Stage A, follows the policy gradient, and learns what the rewards say."""

import itertools
from dataclasses import fields

import pytest
import torch

from rlrec.algorithms import grpo_slate as module
from rlrec.algorithms.grpo_slate import (
    GrpoSlate,
    Penalties,
    actor_of,
    build,
    grpo_slate_loss,
    improve,
    read_practice,
    roughness,
    slate_advantage,
    train,
)
from rlrec.batches import Contexts
from rlrec.feedback.contexts import read_contexts
from rlrec.ops import advantages, slates, smoothness, surrogates
from rlrec.runtime import Runtime, Start
from tests.enumeration import draw
from tests.learned import drawn_practice

SMALL = {"slate": 4, "group": 6, "hidden": 16, "batch": 16, "epochs": 3}
ALONE = {"kl_reference": 0.0, "entropy": 0.0, "graph_weight": 0.0, "weight_decay": 0.0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return drawn_practice(tmp_path_factory.mktemp("practice"))


def trained(corpus, seed: int = 0, **changes):
    recipe = GrpoSlate(**{**SMALL, **changes})
    return recipe, list(train(recipe, corpus, Start(), Runtime.seeded(seed)))


def scores_of(recipe, corpus, step) -> torch.Tensor:
    practice = read_practice(recipe, corpus)
    actor = actor_of(recipe, practice.contexts.features.shape[-1], step.state_dicts["model"])
    with torch.no_grad():
        return actor(practice.contexts.base, practice.contexts.features)


def value(recipe, corpus, scores: torch.Tensor) -> float:
    """Expected reward of the slates of a policy under the rewards it learns from, by its position marginals."""
    marginals = slates.plackett_luce_marginals(scores, recipe.slate, 500, torch.Generator().manual_seed(0))
    gain = read_practice(recipe, corpus).gain
    return float((slates.discounts(recipe.slate) @ (marginals * gain.unsqueeze(1)).sum(2).T).mean())


def test_step_zero_is_stage_a(corpus):
    recipe = GrpoSlate(**SMALL)
    practice = read_practice(recipe, corpus)
    learner = build(recipe, practice, Runtime.seeded(0))
    contexts = practice.contexts
    scores = learner.actor(contexts.base, contexts.features)
    assert torch.equal(scores, contexts.base)
    assert torch.equal(slates.greedy_top_k(scores, 4), contexts.base.argsort(1, descending=True)[:, :4])
    optimiser = torch.optim.AdamW(learner.parameters(), lr=1e-2)
    first, second = list(improve(recipe, practice, torch.arange(16), learner, optimiser, Runtime.seeded(1)))
    assert first["policy/kl_reference"] == 0
    assert first["policy/clip_share"] == 0
    assert second["policy/kl_reference"] > 0


def test_first_gradient_is_reinforce(corpus, monkeypatch):
    """Without penalties the first inner step follows the mean of log π · a over groups that differ."""
    recipe = GrpoSlate(**SMALL, **ALONE)
    practice, rows = read_practice(recipe, corpus), torch.arange(16)
    learner = build(recipe, practice, Runtime.seeded(0))
    taken: list[torch.Tensor] = []

    def record(loss, optimiser, parameters, max_norm):
        taken.extend(torch.autograd.grad(loss, list(learner.actor.parameters())))
        return {"train/grad_norm": torch.zeros(())}

    monkeypatch.setattr(module, "descend", record)
    optimiser = torch.optim.SGD(learner.parameters(), lr=0.0)
    next(iter(improve(recipe, practice, rows, learner, optimiser, Runtime.seeded(1))))
    base, features = practice.contexts.base[rows], practice.contexts.features[rows]
    logits = learner.actor(base, features)
    places = slates.gumbel_top_k(base, 4, 6, Runtime.seeded(1).generator)
    gain = practice.gain[rows].unsqueeze(1).expand(-1, 6, -1).gather(2, places)
    reward = (gain * slates.discounts(4)).sum(2)
    kept = ~advantages.degenerate(reward)
    assert 0 < kept.sum() < 16
    advantage = advantages.center(reward).unsqueeze(2).expand(-1, -1, 4)
    objective = surrogates.reinforce(slates.plackett_luce_log_prob(logits, places), advantage)[kept].mean()
    expected = torch.autograd.grad(-objective, list(learner.actor.parameters()))
    assert max(gradient.abs().max() for gradient in expected) > 1e-4
    for found, wanted in zip(taken, expected, strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_loss_leaves_degenerate_groups_out_and_weighs_its_parts():
    surrogate, kl, entropy, rough = draw(3, 2, 4), draw(3, 2, seed=1), draw(3, 2, seed=2), draw(3, seed=3)
    keep = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    only = grpo_slate_loss(surrogate, kl, entropy, rough, keep, Penalties(0.0, 0.0, 0.0))
    assert only.item() == pytest.approx(-surrogate[[0, 2]].mean().item())
    parts = [
        grpo_slate_loss(surrogate, kl, entropy, rough, keep, Penalties(*(2.0 * (i == j) for i in range(3)))) - only
        for j in range(3)
    ]
    assert parts[0].item() == pytest.approx(2 * kl.mean().item() / 4)  # nats a position, K = 4
    assert parts[1].item() == pytest.approx(-2 * entropy.mean().item() / 4)
    assert parts[2].item() == pytest.approx(2 * rough.mean().item())
    none = grpo_slate_loss(surrogate, kl, entropy, rough, torch.zeros(3), Penalties(0.0, 0.0, 0.0))
    assert none.item() == 0


@pytest.mark.parametrize("kind", ["center", "zscore", "loo", "softmax"])
def test_slate_advantages_credit_all_positions_alike(kind):
    reward = draw(3, 5, 4)
    found = slate_advantage(kind, reward)
    assert found.shape == (3, 5, 4)
    assert torch.equal(found, found[..., :1].expand(3, 5, 4))
    whole = {"loo": advantages.leave_one_out}.get(kind) or getattr(advantages, kind)
    assert torch.equal(found[..., 0], whole(reward.sum(2)))


def test_rank_advantage_credits_what_follows():
    reward = draw(3, 5, 4)
    assert torch.equal(slate_advantage("rank", reward), advantages.rank_to_go(reward))


def test_rewards_are_what_their_names_say(corpus):
    evidence = read_contexts(corpus)
    gain = {kind: read_practice(GrpoSlate(reward=kind), corpus).gain for kind in ("dr", "ips", "dm")}
    assert torch.equal(gain["dm"], evidence.q_hat)
    assert torch.equal(gain["ips"], evidence.observed)
    assert torch.allclose(gain["dr"], evidence.q_hat + evidence.observed - evidence.shown * evidence.q_hat)


@pytest.mark.parametrize(
    "changes",
    [
        *({"advantage": kind} for kind in ("center", "zscore", "loo", "softmax", "rank")),
        *({"reward": kind} for kind in ("dr", "ips")),
        {"ratio": "slate"},
        {"graph_reg": "laplace"},
        {"graph_reg": "none"},
    ],
    ids=lambda changes: "-".join(itertools.chain(*changes.items())),
)
def test_every_option_learns(corpus, changes):
    recipe, steps = trained(corpus, **{"reward": "dm", "epochs": 25, "learning_rate": 5e-3, **ALONE, **changes})
    start = value(recipe, corpus, read_practice(recipe, corpus).contexts.base)
    end = value(recipe, corpus, scores_of(recipe, corpus, steps[-1]))
    best = value(recipe, corpus, 30 * read_practice(recipe, corpus).gain)
    assert end - start > 0.4 * (best - start) > 0
    assert all(torch.isfinite(v) for step in steps for v in step.metrics.values())


def test_reported_reward_is_that_of_the_policy(corpus):
    recipe, steps = trained(corpus, reward="dm", learning_rate=1e-9, group=64, epochs=1)
    expected = value(recipe, corpus, read_practice(recipe, corpus).contexts.base)
    assert steps[0].metrics["reward/mean"].item() == pytest.approx(expected, abs=0.03)


def test_a_heavy_anchor_keeps_stage_a(corpus):
    options = {"reward": "dm", "epochs": 10, "learning_rate": 5e-3, "graph_weight": 0.0, "entropy": 0.0}
    free, held = (trained(corpus, kl_reference=beta, **options)[1][-1].metrics for beta in (0.0, 100.0))
    assert held["policy/kl_reference"] < 0.05 * free["policy/kl_reference"]


def test_entropy_bonus_keeps_the_policy_open(corpus):
    options = {"reward": "dm", "epochs": 10, "learning_rate": 5e-3, "graph_weight": 0.0, "kl_reference": 0.0}
    plain, open_ = (trained(corpus, entropy=weight, **options)[1][-1].metrics for weight in (0.0, 1.0))
    assert open_["policy/entropy"] > plain["policy/entropy"] + 0.1


def test_a_heavy_graph_makes_scores_smooth(corpus):
    options = {"reward": "dm", "epochs": 10, "learning_rate": 5e-3, "kl_reference": 0.0, "entropy": 0.0}
    for kind in ("metapath", "laplace"):
        rough, smooth = (
            trained(corpus, graph_weight=weight, graph_reg=kind, **options)[1][-1].metrics for weight in (0.0, 30.0)
        )
        assert smooth["graph/roughness"] < 0.5 * rough["graph/roughness"]


def test_roughness_follows_its_option(corpus):
    scores, preference = draw(2, 5, dtype=torch.float32), torch.tensor([0.3, -0.2])
    around = torch.tensor([[[1, 2], [0, -1], [3, 4], [2, -1], [0, 1]]]).expand(2, 2, 5, 2).clone()
    around[1, :, 0] = -1
    strength = torch.rand(2, 2, 5, 2, generator=torch.Generator().manual_seed(0))
    energy = smoothness.dirichlet_energy(scores, around, strength)

    def at(kind: str, places: torch.Tensor = around) -> torch.Tensor:
        return roughness(GrpoSlate(graph_reg=kind), scores, places, strength[: len(places)], preference)

    assert at("none").abs().max() == 0
    assert torch.equal(at("laplace"), energy.mean(0))
    assert torch.equal(at("metapath"), smoothness.metapath_penalty(energy, preference, 1e-3))
    assert at("metapath", around[:0]).abs().max() == 0  # a corpus without item graphs


def test_runs_without_item_graphs(tmp_path):
    _recipe, steps = trained(drawn_practice(tmp_path, paths=0))
    assert steps[-1].metrics["graph/roughness"] == 0
    assert torch.isfinite(steps[-1].metrics["train/loss"])


def test_stage_a_is_frozen(corpus, monkeypatch):
    """Training moves the correction and the path preferences: no gradient reaches what Stage A or the log said."""
    recipe = GrpoSlate(**SMALL)
    practice = read_practice(recipe, corpus)
    kept = [getattr(practice.contexts, part.name).clone() for part in fields(Contexts)]
    learner = build(recipe, practice, Runtime.seeded(0))
    assert {name.split(".")[1] if "." in name else name for name, _ in learner.named_parameters()} == {
        "correction",
        "preference",
    }
    practice.gain.requires_grad_()
    monkeypatch.setattr(module, "read_practice", lambda *_: practice)
    list(train(recipe, corpus, Start(), Runtime.seeded(0)))
    assert practice.gain.grad is None
    assert not any(t.requires_grad for t in (practice.weights, practice.contexts.base, practice.contexts.features))
    for before, part in zip(kept, fields(Contexts), strict=True):
        assert torch.equal(getattr(practice.contexts, part.name), before)


def test_equal_rewards_teach_nothing(corpus, monkeypatch):
    recipe = GrpoSlate(**SMALL, **ALONE)
    practice = read_practice(recipe, corpus)
    practice.gain.fill_(0.3)
    monkeypatch.setattr(module, "read_practice", lambda *_: practice)
    steps = list(train(recipe, corpus, Start(), Runtime.seeded(0)))
    for step in steps:
        assert step.metrics["group/degenerate_share"] == 1
        assert step.metrics["train/grad_norm"] == 0
        assert step.metrics["policy/kl_reference"] == 0


def test_temperature_and_scores_trade_off(corpus):
    """π = PL(s / τ): at step zero a policy at τ over Stage-A scores draws as one at 1 over scores divided by τ."""
    practice = read_practice(GrpoSlate(**SMALL), corpus)
    halves = type(practice)(
        type(practice.contexts)(
            practice.contexts.user, practice.contexts.candidates, practice.contexts.base / 2, practice.contexts.features
        ),
        practice.gain, practice.neighbours, practice.weights,
    )  # fmt: skip
    found = []
    for recipe, of in ((GrpoSlate(**SMALL, temperature=2.0), practice), (GrpoSlate(**SMALL), halves)):
        learner = build(recipe, of, Runtime.seeded(0))
        optimiser = torch.optim.SGD(learner.parameters(), lr=0.0)
        found.append(next(iter(improve(recipe, of, torch.arange(16), learner, optimiser, Runtime.seeded(1)))))
    for name in ("reward/mean", "policy/entropy", "group/degenerate_share"):
        assert found[0][name].item() == pytest.approx(found[1][name].item(), rel=1e-5)
    assert found[0]["policy/kl_reference"] == 0
