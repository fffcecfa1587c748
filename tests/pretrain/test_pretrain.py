"""What every pretraining objective keeps: it learns, resumes exactly, and reads train alone."""

import math
import tomllib
from dataclasses import replace

import polars as pl
import pytest
import tomli_w
import torch
from pydantic import ValidationError

from rlrec import metrics
from rlrec.closed_form.popularity import Popularity
from rlrec.graph.bipartite import interactions, seen
from rlrec.ops.masking import masked_mean
from rlrec.pretrain import bpr, graph_cl
from rlrec.runtime import Runtime, Start, Step
from rlrec.tables import EVENTS, SPLITS
from tests.worlds import small_world, write

SMALL = {"width": 16, "batch_size": 64, "learning_rate": 0.02}
RUNS = {
    "bpr": (bpr, bpr.BPR(epochs=4, **SMALL)),
    "bpr with layers": (bpr, bpr.BPR(epochs=4, layers=2, **SMALL)),
    "xsimgcl": (graph_cl, graph_cl.GraphCL(epochs=4, **SMALL)),
    "simgcl": (graph_cl, graph_cl.GraphCL(epochs=4, contrast="simgcl", **SMALL)),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(params=RUNS)
def run(request):
    return RUNS[request.param]


def trained(run, corpus, seed: int = 0, start: Start | None = None) -> list[Step]:
    module, recipe = run
    return list(module.train(recipe, corpus, start or Start(), Runtime.seeded(seed)))


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_yields_one_finite_step_an_epoch(run, corpus):
    steps = trained(run, corpus)
    assert [step.number for step in steps] == [1, 2, 3, 4]
    for step in steps:
        assert set(step.state_dicts) == {"model", "optimiser", "runtime"}
        assert {"train/loss", "train/grad_norm", "train/pair_accuracy"} <= step.metrics.keys()
        assert all(
            value.ndim == 0 and not value.requires_grad and torch.isfinite(value) for value in step.metrics.values()
        )


def test_resumed_equals_uninterrupted(run, corpus):
    whole = trained(run, corpus)
    rest = trained(run, corpus, seed=99, start=Start(checkpoint=whole[1].state_dicts))
    assert [step.number for step in rest] == [3, 4]
    for one, other in zip(rest, whole[2:], strict=True):
        assert same(one.metrics, other.metrics)
        assert same(one.state_dicts["model"], other.state_dicts["model"])
    assert trained(run, corpus, start=Start(checkpoint=whole[-1].state_dicts)) == []


def test_resumes_from_a_saved_file(corpus, tmp_path):
    run = RUNS["xsimgcl"]
    whole = trained(run, corpus)
    torch.save(whole[0].state_dicts, tmp_path / "checkpoint.pt")
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert same(trained(run, corpus, seed=5, start=Start(checkpoint=saved))[-1].metrics, whole[-1].metrics)


def test_random_numbers_come_from_the_runtime(run, corpus):
    torch.manual_seed(1)
    one = trained(run, corpus, seed=0)[-1]
    torch.manual_seed(2)
    two, other = trained(run, corpus, seed=0)[-1], trained(run, corpus, seed=1)[-1]
    assert same(one.state_dicts["model"], two.state_dicts["model"])
    assert not same(one.state_dicts["model"], other.state_dicts["model"])


def test_vectors_are_frozen_and_sized(run, corpus):
    module, recipe = run
    found = module.vectors(recipe, corpus, trained(run, corpus)[-1].state_dicts["model"])
    assert found["users"].shape == (61, 16)
    assert found["items"].shape == (51, 16)
    assert not found["users"].requires_grad
    assert found["users"][0].count_nonzero() == found["items"][0].count_nonzero() == 0


@pytest.mark.parametrize("name", ["bpr", "bpr with layers", "xsimgcl", "simgcl"])
def test_ranks_held_out_items_better_than_popularity(name, corpus):
    module, recipe = RUNS[name]
    recipe = recipe.model_copy(update={"epochs": 40})
    model = trained((module, recipe), corpus)[-1].state_dicts["model"]
    found = module.vectors(recipe, corpus, model)
    train = interactions(corpus, ["train"])
    relevant = torch.from_numpy(interactions(corpus, ["feedback", "validation"]).toarray()).bool()
    known = torch.from_numpy(seen(corpus, ["train"]).toarray()).bool()
    known[:, 0] = True
    quality = {
        "model": found["users"] @ found["items"].T,
        "popularity": Popularity.fit(train).predict(train),
    }
    for who, scores in quality.items():
        ranked = scores.masked_fill(known, -torch.inf).topk(10, dim=1).indices
        quality[who] = masked_mean(metrics.ndcg(ranked, relevant), metrics.counted(relevant))
    assert quality["model"] > 1.1 * quality["popularity"]


def test_only_train_is_read(run, tmp_path):
    world = small_world(tmp_path)
    before = trained(run, world)[-1]
    held_out = world.scan(SPLITS).filter(pl.col("split") != "train").select("event").collect()["event"]
    events = world.scan(EVENTS).collect()
    flipped = pl.when(pl.col("event").is_in(held_out.implode())).then(6.0 - pl.col("value")).otherwise("value")
    write(tmp_path, EVENTS, events.with_columns(value=flipped))
    assert same(trained(run, world)[-1].state_dicts["model"], before.state_dicts["model"])


def test_recipes_are_frozen_strict_and_survive_toml(run):
    recipe = run[1]
    again = type(recipe).model_validate(tomllib.loads(tomli_w.dumps(recipe.model_dump())))
    assert again == recipe
    assert all(field.description for field in type(recipe).model_fields.values())
    with pytest.raises(ValidationError, match="frozen"):
        recipe.width = 3
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(recipe)(widht=3)


def test_step_is_a_copy(corpus):
    steps = trained(RUNS["bpr"], corpus)
    assert not same(steps[0].state_dicts["model"], steps[1].state_dicts["model"])
    assert replace(steps[0]).number == 1


def test_docstrings_have_their_headings():
    for module in (bpr, graph_cl):
        assert "Source:" in module.__doc__
        assert "Departs from the paper:" in module.__doc__


def test_bpr_loss_is_ln_2_without_knowledge():
    rows = torch.ones(5, 3)
    loss, reported = bpr.bpr_loss(rows, rows, rows, (rows, rows, rows), l2=0.1)
    assert reported["train/ranking_loss"].item() == pytest.approx(math.log(2))
    assert loss.item() == pytest.approx(math.log(2) + 0.1 * 3 * 3 / 2)


def test_graph_cl_without_contrast_is_bpr():
    drawn = [torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]
    options = {"l2": 0.3, "contrast_weight": 0.0, "temperature": 0.2}
    views = (drawn[0], drawn[3])
    loss, _ = graph_cl.graph_cl_loss(*drawn[:3], tuple(drawn[:3]), views, views, **options)
    assert loss.item() == pytest.approx(bpr.bpr_loss(*drawn[:3], tuple(drawn[:3]), l2=0.3)[0].item())


def test_noise_has_its_length_and_keeps_signs():
    generator = torch.Generator().manual_seed(0)
    vectors, uniform = torch.randn(20, 8, generator=generator), torch.rand(20, 8, generator=generator)
    moved = graph_cl.signed_noise(vectors, uniform, 0.2)
    assert (moved - vectors).norm(dim=1).tolist() == pytest.approx([0.2] * 20, rel=1e-5)
    assert torch.equal(moved.sign(), vectors.sign())
    assert torch.equal(graph_cl.signed_noise(torch.zeros(2, 8), uniform[:2], 0.2), torch.zeros(2, 8))


def test_views_without_noise_agree(corpus):
    recipe = graph_cl.GraphCL(noise=0.0, layers=1, **SMALL)
    model = graph_cl.encoder(recipe, interactions(corpus, ["train"]), torch.Generator().manual_seed(0))
    final, one, two = graph_cl.views(recipe, model, torch.Generator())
    assert torch.equal(final, one)
    assert torch.equal(one, two)
    assert torch.equal(final, torch.cat(model()))


def test_contrast_layer_must_exist():
    with pytest.raises(ValidationError, match="beyond the 2 layers"):
        graph_cl.GraphCL(contrast_layer=3)
