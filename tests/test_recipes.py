"""The contract: what every recipe of the two unions keeps, whoever adds the next one."""

import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import polars as pl
import pytest
import tomli_w
import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from rlrec import recipes
from rlrec.batches import State
from rlrec.corpus import Corpus
from rlrec.encoders.candidate_scorer import ContextScorer
from rlrec.feedback.contexts import read_contexts
from rlrec.policies.plackett_luce import PlackettLuce
from rlrec.runtime import Runtime, Start, Step
from rlrec.tables import CONTEXTS, EDGES, EVENTS, LOGGED_SLATES, SPLITS
from tasks import checkpoints
from tasks.artifacts import Artifact, digest_of
from tasks.checkpoints import read_tensors
from tasks.evidence import DEPLOYED, HELDOUT, PRACTICE, SERVING
from tasks.learn import finetune
from tasks.presets import Evaluation
from tasks.simulate import LOGS
from tests.learned import ITEMS, SLATE, Learned, learn, tables
from tests.worlds import write

SMALL = {"epochs": 3, "slate": SLATE, "group": 4, "width": 8, "hidden": 8, "batch": 32, "batch_size": 64}


def members(union: Any) -> tuple[type[BaseModel], ...]:
    """The recipes of a union, annotated or of one member."""
    inner = get_args(union)[0] if get_origin(union) is Annotated else union
    return get_args(inner) or (inner,)


PRETRAINING, FINE_TUNING = members(recipes.Pretraining), members(recipes.FineTuning)
ALL = (*PRETRAINING, *FINE_TUNING)


def name(recipe: type[BaseModel]) -> str:
    return recipe.model_fields["algorithm"].default


@pytest.fixture(params=ALL, ids=name)
def kind(request) -> type[BaseModel]:
    return request.param


def small(kind: type[BaseModel]) -> Any:
    """The recipe with its defaults, but for the sizes."""
    return kind(**{key: value for key, value in SMALL.items() if key in kind.model_fields})


def steps(kind: type[BaseModel], learned: Learned, seed: int = 0, checkpoint: Any = None) -> list[Step]:
    begin = recipes.pretrain if kind in PRETRAINING else recipes.finetune
    return list(begin(small(kind), learned.practice, Start(checkpoint=checkpoint), Runtime.seeded(seed)))


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_unions_hold_what_is_known():
    assert {name(recipe) for recipe in PRETRAINING} >= {"bpr", "graph_cl"}
    assert {name(recipe) for recipe in FINE_TUNING} >= {"grpo_slate"}
    assert len({name(recipe) for recipe in ALL}) == len(ALL)


def test_defaults_build_and_every_field_says_what_it_is(kind):
    assert kind().algorithm == name(kind)
    assert all(field.description for field in kind.model_fields.values())


def test_toml_round_trip(kind):
    for recipe in (kind(), small(kind)):
        assert kind.model_validate(tomllib.loads(tomli_w.dumps(recipe.model_dump()))) == recipe


def test_frozen_and_strict(kind):
    with pytest.raises(ValidationError, match="frozen"):
        kind().epochs = 1
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind(epohcs=1)
    with pytest.raises(ValidationError):
        kind(epochs=0)


def test_docstrings_have_their_headings(kind):
    text = sys.modules[kind.__module__].__doc__
    assert "Source:" in text
    assert "Departs from the paper:" in text
    assert text.index("Source:") < text.index("Departs from the paper:")


def test_three_finite_steps(kind, learned):
    found = steps(kind, learned)
    assert [step.number for step in found] == [1, 2, 3]
    for step in found:
        assert {"train/loss", "train/grad_norm"} <= step.metrics.keys()
        assert all(key.count("/") == 1 for key in step.metrics)
        for value in step.metrics.values():
            assert value.ndim == 0
            assert not value.requires_grad
            assert torch.isfinite(value)
        assert set(step.state_dicts) == {"model", "optimiser", "runtime"}
    assert not same(found[0].state_dicts["model"], found[2].state_dicts["model"])


@pytest.mark.parametrize("after", [1, 2])
def test_resumed_equals_uninterrupted_exactly(kind, learned, tmp_path, after):
    whole = steps(kind, learned)
    checkpoints.write(tmp_path / "state.safetensors", whole[after - 1].state_dicts)
    saved = checkpoints.read(tmp_path / "state.safetensors")
    rest = steps(kind, learned, seed=99, checkpoint=saved)
    assert [step.number for step in rest] == list(range(after + 1, 4))
    for one, other in zip(rest, whole[after:], strict=True):
        assert same(one.metrics, other.metrics)
        assert same(one.state_dicts["model"], other.state_dicts["model"])
        assert torch.equal(one.state_dicts["runtime"]["generator"], other.state_dicts["runtime"]["generator"])


def test_random_numbers_come_from_the_runtime_alone(kind, learned):
    torch.manual_seed(1)
    one = steps(kind, learned)[-1].state_dicts["model"]
    torch.manual_seed(2)
    assert same(steps(kind, learned)[-1].state_dicts["model"], one)
    assert not same(steps(kind, learned, seed=5)[-1].state_dicts["model"], one)


@dataclass(frozen=True)
class Products:
    """The scorer that frozen vectors are."""

    users: Tensor
    items: Tensor

    def scores(self, state: State) -> Tensor:
        assert state.user is not None
        return self.users[state.user] @ self.items.T


def acting(kind: type[BaseModel], learned: Learned) -> tuple[PlackettLuce, State]:
    """The trained policy and states to act in; one item has been withdrawn."""
    model = steps(kind, learned)[-1].state_dicts["model"]
    eligible = torch.from_numpy(learned.practice.catalogue().eligible.copy())
    serving = read_contexts(learned.serving).contexts
    eligible[serving.candidates[0, 0]] = False
    if kind in PRETRAINING:
        vectors = recipes.vectors(small(kind), learned.practice, model)
        user = torch.arange(1, len(vectors["users"]))
        state = State(torch.zeros(len(user), 1).long(), torch.zeros(len(user), 1).bool(), user)
        return PlackettLuce(Products(**vectors), 1.0, eligible), state
    scorer = ContextScorer(recipes.actor(small(kind), serving.features.shape[-1], model), serving)
    return PlackettLuce(scorer, 1.0, eligible), scorer.state(serving.user)


def test_ranks_and_samples_distinct_eligible_items(kind, learned):
    policy, state = acting(kind, learned)
    with torch.no_grad():
        ranked = policy.rank(state, SLATE)
        drawn = policy.sample(state, SLATE, 3, torch.Generator().manual_seed(0))
        best = policy.log_prob(state, ranked.unsqueeze(1)).sum(2)
    for slates in (ranked.unsqueeze(1), drawn.slates):
        assert (slates.sort(2).values.diff(dim=2) > 0).all()
        assert policy.eligible[slates].all()
        assert ((slates > 0) & (slates <= ITEMS)).all()
        if state.candidates is not None:
            assert (slates.unsqueeze(-1) == state.candidates[:, None, None, :]).any(-1).all()
    assert drawn.mask.all()
    assert (best >= drawn.log_prob.sum(2) - 1e-4).all()  # the most probable slate


# --- no training artifact knows the test slice --------------------------------------------------------------------


def with_other_tests(corpus: Artifact, folder: Path) -> Artifact:
    """The corpus with the item of every test row replaced by one that its user never met; nothing else changes."""
    read = Corpus.of(corpus.path)
    events = read.scan(EVENTS).collect()
    split = read.scan(SPLITS).filter(protocol="world").select("event", "split").collect()
    rows = events.join(split, on="event", validate="1:1", maintain_order="left")
    met = {user: set(items) for user, items in rows.group_by("user").agg("item").iter_rows()}
    spare = {user: iter(sorted(set(range(1, ITEMS + 1)) - items)) for user, items in met.items()}
    changed = [
        next(spare[user]) if part == "test" else item for user, item, part in rows["user", "item", "split"].iter_rows()
    ]
    assert (
        sum(one != other for one, other in zip(changed, rows["item"], strict=True)) == (split["split"] == "test").sum()
    )
    tables(folder)
    write(folder, EVENTS, events.with_columns(item=pl.Series(changed, dtype=pl.Int32)))
    assert read.scan(SPLITS).collect().equals(Corpus.of(folder).scan(SPLITS).collect())
    return Artifact(uri=str(folder), digest=digest_of(folder), kind="corpus")


def test_changing_every_test_row_changes_no_training_artifact(learned, tmp_path):
    other = learn(with_other_tests(learned.corpus, tmp_path / "corpus"), tmp_path)
    assert other.corpus.digest != learned.corpus.digest
    edges = [Corpus.of(one.graphs.path).scan(EDGES).collect() for one in (learned, other)]
    assert edges[0].equals(edges[1])
    for file in ("world/world.safetensors", "pretrained/vectors.safetensors"):
        folder, tensors = file.split("/")
        artifact = {"world": "simulated", "pretrained": "pretrained"}[folder]
        one, two = (read_tensors(getattr(which, artifact).path / tensors) for which in (learned, other))
        assert same(one, two), file
    for log in LOGS:
        one, two = (Corpus.of(w.simulated.path / log).scan(LOGGED_SLATES).collect() for w in (learned, other))
        assert one.equals(two), log
    for part in (PRACTICE, SERVING, HELDOUT, DEPLOYED):
        one, two = (Corpus.of(w.evidence.path / part).scan(CONTEXTS).collect() for w in (learned, other))
        assert one.equals(two) == (part != DEPLOYED), part  # what is deployed knows everything: the change is real
    evaluation = Evaluation(seeds=(1,), select_prefixes=20)
    policies = [
        finetune(
            which.corpus, which.graphs, which.simulated, which.evidence, small(FINE_TUNING[0]), evaluation, 1,
            target=tmp_path / f"policy-{number}",
        )
        for number, which in enumerate((learned, other))
    ]  # fmt: skip
    assert same(*(read_tensors(policy.path / "model.safetensors") for policy in policies))
    history = [pl.read_parquet(policy.path / "history.parquet") for policy in policies]
    assert history[0].equals(history[1])
