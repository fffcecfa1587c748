"""A registered policy judged on a log says what the pipeline said of it; the answer is on both pages."""

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from flows import cli
from rlrec.errors import InputError
from tests.flows.conftest import Ran


@pytest.fixture
def asked(in_home: Ran, tmp_path: Path) -> dict[str, object]:
    """The pipeline's own question about the policy that it registered, on its own evaluation log."""
    (world,) = (path for path in (in_home.home / "store" / "simulate").iterdir() if path.is_dir())
    (corpus,) = (path for path in (in_home.home / "store" / "ingest").iterdir() if path.is_dir())
    return {
        "models": (f"{in_home.first.model.name}@candidate",), "logs": str(world / "log_eval"),
        "vocabulary": str(corpus),
        "out": str(tmp_path / "judged"), "contexts": "serving", "seed": in_home.plan.world.seed, "reward_min": 0.0,
        "prefixes": in_home.plan.evaluation.target_prefixes, "reward_max": 1.0,
    }  # fmt: skip


def test_a_registered_policy_is_judged_as_the_pipeline_judged_it(in_home, asked):
    from rlrec import recipes
    from rlrec.corpus import Corpus
    from rlrec.feedback.contexts import read_contexts
    from rlrec.ops.slates import plackett_luce_marginals
    from tasks.artifacts import Artifact
    from tasks.checkpoints import read_tensors, seeded
    from tasks.evidence import SERVING
    from tasks.judge import Judging, judge
    from tasks.learn import actor_scores, rounds_of
    from tasks.simulate import Simulated

    model, recipe, evaluation = in_home.first.model, in_home.plan.fine_tuning, in_home.plan.evaluation
    records = judge(Judging.of(**asked))
    (file,) = (in_home.home / "store" / "counterfactual").glob("*/estimates.parquet")
    own = pl.read_parquet(file).filter(pl.col("target_policy") == "grpo", pl.col("seed") == model.seed)
    found = {row["estimator"]: row["value"] for row in records}
    for estimator, value in own.select("estimator", "value").rows():
        assert found[estimator] == pytest.approx(value, abs=1e-9), estimator
    assert {"ips", "snips", "dr", "sndr"} <= set(own["estimator"])

    folder = Path(str(asked["logs"])).parent
    log = Simulated.of(Artifact(uri=str(folder), digest="", kind="world")).log("log_eval")
    serving = read_contexts(Corpus.of(model.evidence.path / SERVING))
    actor = recipes.actor(
        recipe, serving.contexts.features.shape[-1], read_tensors(model.policy.path / "model.safetensors")
    )
    marginals = plackett_luce_marginals(
        actor_scores(actor, serving.contexts) / recipe.temperature, recipe.slate, evaluation.target_prefixes,
        seeded(in_home.plan.world.seed, "targets"),
    )  # fmt: skip
    rounds = rounds_of(log, serving, marginals)
    rows = pl.read_parquet(Path(str(asked["out"])) / "targets.parquet").sort("event")
    for name, expected in (
        ("target_probability", rounds.target_probability),
        ("q_hat", rounds.q_hat),
        ("q_hat_target", rounds.q_hat_target),
    ):
        assert rows[name].to_numpy() == pytest.approx(expected.ravel(), abs=1e-9), name


def told(*words: object) -> str:
    """What a command said when all went well."""
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def run_of(said: str):
    """The MLflow run that a command names."""
    from tasks import tracking

    (line,) = (line for line in said.splitlines() if line.startswith("MLflow run: "))
    return tracking.client().get_run(line.split()[-1])


def test_the_command_leaves_its_answer_on_both_pages(in_home, asked):
    from prefect.client.orchestration import get_client

    from tasks import tracking

    out = Path(str(asked["out"]))
    words = ("--model", asked["models"][0], "--logs", asked["logs"], "--vocabulary", asked["vocabulary"])
    said = told("judge", *words, "--out", out, "--prefixes", 100, "--reward-min", 0, "--reward-max", 1)
    assert "predictions are those of the reward model" in said
    name = f"{in_home.first.model.name}/{in_home.first.model.version}"
    estimates, decision = (json.loads((out / f"{file}.json").read_text()) for file in ("estimates", "decision"))
    values = {row["estimator"]: row["value"] for row in estimates["estimates"]}
    run = run_of(said)
    assert run.data.metrics[f"ope/snips/{name}/value"] == values["snips"]
    assert run.data.metrics[f"difference/logging/{name}/low"] == decision[name]["low"]
    assert run.data.tags[f"gate/{name}"] == ("passes" if decision[name]["passes"] else "refused")
    assert f"gate: {name} {'passes' if decision[name]['passes'] else 'does not pass'} against what served" in said
    assert {f"verdict/{name}", "git_commit", "estimand"} <= set(run.data.tags)
    assert any(metric.startswith("lambda/mse_bound/snips/clip/") for metric in run.data.metrics)
    api = tracking.client()
    files = {found.path for folder in (None, "figures") for found in api.list_artifacts(run.info.run_id, folder)}
    assert {"estimates.json", "decision.json", "curve.parquet", "report.html", "curve.png"} <= files
    with get_client(sync_client=True) as client:
        artifacts = {artifact.key: str(artifact.data) for artifact in client.read_artifacts()}
    assert {"gate", "estimates", "weight-curve", "mlflow-run"} <= set(artifacts)
    assert name in artifacts["estimates"]


@pytest.mark.slow
def test_ope_is_tracked_where_asked(in_home, logged, tmp_path):
    logs, targets = logged
    said = told("ope", "--logs", logs, "--target", targets, "--out", tmp_path / "ope", "--track")
    assert run_of(said).data.tags["gate/second"] == "passes"


def test_what_cannot_be_asked_is_told(asked):
    from tasks.judge import Judging, judge

    with pytest.raises(InputError, match="contexts"):
        Judging.of(**asked | {"contexts": "yesterday"})
    with pytest.raises(InputError, match="no registered model"):
        judge(Judging.of(**asked | {"reference": "nobody@champion"}))


def test_the_question_is_a_typed_form():
    from flows.judge import judge

    (definition,) = judge.parameters.model_dump()["definitions"].values()
    assert definition["properties"]["models"]["description"].startswith("Policies in the registry")
