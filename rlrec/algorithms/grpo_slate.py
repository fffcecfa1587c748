"""GRPO-RS: group-relative policy optimisation of a slate policy over frozen Stage-A scores.

Maximises E[ 1/(G·K) Σ_{g,k} min(ρ a, clip(ρ, 1-ε_l, 1+ε_h) a) ] - β KL(π ‖ π_ref) - λ_g R_graph + λ_H H for
Plackett-Luce slates inside candidate sets, with counterfactual item rewards under the position-based model.
Source: Shao et al. (2024), DeepSeekMath, eq. 3; the GRPO-RS definition in the graph spec, 2.1-2.10.

Departs from the paper:
- advantages are centred, not divided by the group's spread (Liu et al. 2025): sparse clicks make near-tied groups;
- slates that nobody logged are rewarded by doubly-robust item estimates, which the design note leaves undefined;
- KL and entropy are exact along the sampled prefixes instead of the k3 estimate; their score-function part is left out;
- KL and entropy count per position, as the surrogate does; summed over the slate they would outweigh it K times;
- the meta-path penalty is scaled to trace |C| per context, not 1, so that it does not vanish with |C|.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlrec.batches import Contexts
from rlrec.corpus import Corpus
from rlrec.encoders.candidate_scorer import CandidateScorer
from rlrec.feedback.contexts import read_contexts
from rlrec.graph.metapaths import from_edges
from rlrec.ops import advantages, divergences, ratios, slates, smoothness, surrogates
from rlrec.runtime import Runtime, Start, Step, descend, restore, snapshot
from rlrec.tables import EDGES

Weight = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]


class GrpoSlate(BaseModel):
    """Recipe of GRPO-RS."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    algorithm: Literal["grpo_slate"] = "grpo_slate"
    """Tag of the union."""
    reward: Literal["dr", "ips", "dm"] = "dr"
    """Counterfactual item reward ŷ (graph spec 2.4): doubly robust, inverse propensity, or the model alone."""
    advantage: Literal["center", "zscore", "loo", "softmax", "rank"] = "center"
    """Group-relative advantage (2.5)."""
    ratio: Literal["position", "slate"] = "position"
    """Unit of the importance ratio (2.6)."""
    graph_reg: Literal["metapath", "laplace", "none"] = "metapath"
    """Smoothness over item graphs: weighted by learned preferences, their plain mean, or off (2.7)."""
    slate: Count = 10
    """Positions K."""
    group: Annotated[int, Field(ge=2)] = 8
    """Slates G drawn for each context."""
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    """τ of π = PL(s/τ)."""
    clip_below: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """ε_l."""
    clip_above: Annotated[float, Field(gt=0.0)] = 0.28
    """ε_h."""
    kl_reference: Weight = 0.02
    """β of KL(π ‖ π_ref), in nats a position."""
    entropy: Weight = 1e-3
    """λ_H of the entropy, in nats a position."""
    graph_weight: Weight = 0.01
    """λ_g."""
    metapath_spread: Weight = 1e-3
    """Weight of KL(preferences ‖ uniform) inside `metapath`."""
    hidden: Count = 64
    """Width of the correction's hidden layers."""
    layers: Count = 2
    """Hidden layers of the correction."""
    batch: Count = 64
    """Contexts a step."""
    inner_epochs: Count = 2
    """Gradient steps on each set of sampled slates."""
    epochs: Count = 10
    """Passes over the contexts; one Step, and so one checkpoint, each."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 3e-4
    """AdamW."""
    weight_decay: Weight = 0.01
    """AdamW."""
    max_norm: Annotated[float, Field(gt=0.0)] = 1.0
    """Largest gradient norm."""


@dataclass(frozen=True)
class Practice:
    """What GRPO-RS learns from: contexts and the counterfactual reward ŷ of each of their candidates."""

    contexts: Contexts
    gain: Float[Tensor, "N C"]
    neighbours: Int[Tensor, "M I N"]
    weights: Float[Tensor, "M I N"]


@dataclass(frozen=True)
class Penalties:
    """Weights of what is subtracted from the surrogate."""

    kl_reference: float
    entropy: float
    graph: float


def grpo_slate_loss(
    surrogate: Float[Tensor, "B G K"],
    kl: Float[Tensor, "B G"],
    entropy: Float[Tensor, "B G"],
    roughness: Float[Tensor, "B"],
    keep: Float[Tensor, "B"],
    penalties: Penalties,
) -> Float[Tensor, ""]:
    """-(mean surrogate over groups that differ) + β KL/K + λ_g R_graph - λ_H H/K (graph spec 2.6)."""
    positions = surrogate.shape[2]
    kept = (surrogate.mean((1, 2)) * keep).sum() / keep.sum().clamp_min(1.0)
    anchored = penalties.kl_reference * kl.mean() - penalties.entropy * entropy.mean()
    return -kept + anchored / positions + penalties.graph * roughness.mean()


def slate_advantage(
    kind: Literal["center", "zscore", "loo", "softmax", "rank"], reward: Float[Tensor, "B G K"]
) -> Float[Tensor, "B G K"]:
    """The advantage at every position; all kinds but `rank` credit the whole slate alike."""
    total = reward.sum(2)
    match kind:
        case "center":
            whole = advantages.center(total)
        case "zscore":
            whole = advantages.zscore(total)
        case "loo":
            whole = advantages.leave_one_out(total)
        case "softmax":
            whole = advantages.softmax(total)
        case "rank":
            return advantages.rank_to_go(reward)
    return whole.unsqueeze(2).expand_as(reward)


def train(recipe: GrpoSlate, corpus: Corpus, start: Start, runtime: Runtime) -> Iterator[Step]:
    """One Step an epoch; needs the tables CONTEXTS and EDGES. Metrics are means over the epoch's gradient steps:

    `reward/mean` E[R] of the sampled slates under ŷ, `policy/kl_reference` and `policy/entropy` in nats a slate,
    `policy/clip_share`, `group/degenerate_share`, `graph/roughness`, `train/loss`, `train/grad_norm`.
    """
    practice = read_practice(recipe, corpus)
    learner = build(recipe, practice, runtime)
    optimiser = torch.optim.AdamW(learner.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    for epoch in range(restore(learner, optimiser, runtime, start) + 1, recipe.epochs + 1):
        order = torch.randperm(len(practice.contexts), generator=runtime.generator)
        log: list[dict[str, Tensor]] = []
        for rows in order.split(recipe.batch):
            log += improve(recipe, practice, rows, learner, optimiser, runtime)
        yield Step(
            number=epoch,
            metrics={name: torch.stack([step[name] for step in log]).mean() for name in log[0]},
            state_dicts=snapshot(learner, optimiser, runtime, epoch),
        )


def improve(
    recipe: GrpoSlate,
    practice: Practice,
    rows: Int[Tensor, "B"],
    learner: "Learner",
    optimiser: torch.optim.Optimizer,
    runtime: Runtime,
) -> Iterator[dict[str, Tensor]]:
    """Draw a group of slates for each context from the policy as it is, then take `inner_epochs` clipped steps."""
    contexts = practice.contexts
    base, features = contexts.base[rows], contexts.features[rows]
    reference = base / recipe.temperature
    with torch.no_grad():
        behaviour = learner.actor(base, features) / recipe.temperature
        places = slates.gumbel_top_k(behaviour, recipe.slate, recipe.group, runtime.generator)
        old = slates.plackett_luce_log_prob(behaviour, places)
        gain = practice.gain[rows].unsqueeze(1).expand(-1, recipe.group, -1).gather(2, places)
        reward = gain * slates.discounts(recipe.slate)
        advantage = slate_advantage(recipe.advantage, reward)
        tied = advantages.degenerate(reward.sum(2))
    around = smoothness.neighbour_places(contexts.candidates[rows], practice.neighbours, practice.neighbours.shape[1])
    strength = practice.weights[:, contexts.candidates[rows]]
    penalties = Penalties(recipe.kl_reference, recipe.entropy, recipe.graph_weight)
    for _ in range(recipe.inner_epochs):
        scores = learner.actor(base, features)
        logits = scores / recipe.temperature
        log_prob = slates.plackett_luce_log_prob(logits, places)
        ratio = (ratios.position_ratio if recipe.ratio == "position" else ratios.slate_ratio)(log_prob, old)
        surrogate = surrogates.clipped_surrogate(ratio, advantage, recipe.clip_below, recipe.clip_above)
        kl = divergences.chain_rule_kl(logits, reference, places)
        entropy = divergences.chain_rule_entropy(logits, places)
        rough = roughness(recipe, scores, around, strength, learner.preference)
        loss = grpo_slate_loss(surrogate, kl, entropy, rough, (~tied).float(), penalties)
        norm = descend(loss, optimiser, learner.parameters(), recipe.max_norm)
        yield norm | {
            "train/loss": loss.detach(),
            "reward/mean": reward.sum(2).mean(),
            "policy/kl_reference": kl.detach().mean(),
            "policy/entropy": entropy.detach().mean(),
            "policy/clip_share": surrogates.clip_share(ratio.detach(), advantage, recipe.clip_below, recipe.clip_above),
            "group/degenerate_share": tied.float().mean(),
            "graph/roughness": rough.detach().mean(),
        }


def roughness(
    recipe: GrpoSlate,
    scores: Float[Tensor, "B C"],
    around: Int[Tensor, "M B C N"],
    strength: Float[Tensor, "M B C N"],
    preference: Float[Tensor, "M"],
) -> Float[Tensor, "B"]:
    """R_graph of each context; 0 when it is switched off or the corpus has no item graph."""
    if recipe.graph_reg == "none" or not len(around):
        return scores.new_zeros(len(scores))
    energy = smoothness.dirichlet_energy(scores, around, strength)
    if recipe.graph_reg == "laplace":
        return energy.mean(0)
    return smoothness.metapath_penalty(energy, preference, recipe.metapath_spread)


class Learner(nn.Module):
    """What GRPO-RS trains: the actor, and how much each meta-path counts in the penalty."""

    def __init__(self, actor: CandidateScorer, metapaths: int) -> None:
        super().__init__()
        self.actor = actor
        self.preference = nn.Parameter(torch.zeros(metapaths))


def build(recipe: GrpoSlate, practice: Practice, runtime: Runtime) -> Learner:
    """The learner before its first step: its policy is Stage A exactly."""
    features = practice.contexts.features
    actor = CandidateScorer(features.shape[-1], recipe.hidden, recipe.layers, runtime.generator)
    actor.standardise_by(features)
    return Learner(actor, len(practice.neighbours)).to(runtime.device)


def actor_of(recipe: GrpoSlate, features: int, model: Mapping[str, Tensor]) -> CandidateScorer:
    """The trained actor from the `model` part of a Step's state."""
    actor = CandidateScorer(features, recipe.hidden, recipe.layers, torch.Generator())
    own = {name.removeprefix("actor."): value for name, value in model.items() if name.startswith("actor.")}
    actor.load_state_dict(own)
    return actor.eval()


def read_practice(recipe: GrpoSlate, corpus: Corpus) -> Practice:
    """The cross-fitted contexts of `log_train` with ŷ by `recipe.reward`, and the item graphs.

    dr: ŷ = f + observed - shown · f; ips: ŷ = observed; dm: ŷ = f (graph spec 2.4).
    """
    evidence = read_contexts(corpus)
    match recipe.reward:
        case "dr":
            gain = evidence.q_hat + evidence.observed - evidence.shown * evidence.q_hat
        case "ips":
            gain = evidence.observed
        case "dm":
            gain = evidence.q_hat
    paths = from_edges(corpus.scan(EDGES).collect(), len(corpus.vocabulary("item")))
    return Practice(evidence.contexts, gain, torch.from_numpy(paths.neighbours).long(), torch.from_numpy(paths.weights))
