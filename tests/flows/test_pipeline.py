"""The whole story on the synthetic world: tracked, cached, registered, reported, served."""

import json
import shutil
import subprocess
import sys

import polars as pl
import pytest

from rlrec.tables import RECOMMENDATIONS, check


def parent(run_id: str):
    from tasks import tracking

    return tracking.client().get_run(run_id)


def test_the_report_and_the_tables_are_there(in_home):
    page = in_home.first.report.path
    assert page.name == "report.html"
    assert "imulated feedback" in page.read_text(encoding="utf-8")
    names = {file.name for file in in_home.first.results.path.iterdir()}
    assert {"summary.json", "heldout.parquet", "truth.parquet", "estimates.parquet", "curve.parquet"} <= names


def test_every_stage_is_a_child_run_with_inputs(in_home):
    from tasks import tracking

    api = tracking.client()
    children = api.search_runs([tracking.experiment()], f"tags.mlflow.parentRunId = '{in_home.first.run_id}'")
    stages = {run.data.tags["stage"] for run in children}
    assert stages >= {"ingest", "graphs", "simulate", "pretrain", "evidence", "finetune", "counterfactual", "heldout"}
    assert all(run.info.status == "FINISHED" for run in children)
    assert all(run.inputs.dataset_inputs for run in children if run.data.tags["stage"] in {"pretrain", "finetune"})
    (tuned, *_) = [run for run in children if run.data.tags["stage"] == "finetune"]
    history = api.get_metric_history(tuned.info.run_id, "policy/kl_reference")
    assert [metric.step for metric in history] == [1, 2, 3, 4]


def test_the_second_run_is_tagged_and_says_the_same(in_home):
    first, second = parent(in_home.first.run_id), parent(in_home.second.run_id)
    assert in_home.first.cached_from is None
    assert second.data.tags["cached_from"] == in_home.first.run_id
    assert second.data.metrics == first.data.metrics
    assert second.data.metrics
    assert second.data.tags["model"] == first.data.tags["model"]
    assert second.data.tags["git_commit"]
    assert in_home.second.report == in_home.first.report


def test_no_work_is_done_twice(in_home):
    from tasks import tracking

    api = tracking.client()
    children = api.search_runs([tracking.experiment()], f"tags.mlflow.parentRunId = '{in_home.second.run_id}'")
    assert children == []


def test_the_artifact_that_is_gone_is_made_again(in_home, preset):
    from tasks import orchestrated, presets
    from tasks.artifacts import Artifact

    plan = presets.load(str(preset))
    graphs = in_home.home / "store" / "graphs"
    (folder,) = [path for path in graphs.iterdir() if path.is_dir()]
    corpus = json.loads(next((in_home.home / "store" / "ingest").glob("*.json")).read_text())
    before = json.loads(folder.with_name(f"{folder.name}.json").read_text())["digest"]
    shutil.rmtree(folder)
    made = orchestrated.build_graphs.fn(Artifact(**corpus), plan.world.positive_from)
    assert made.path == folder
    assert made.digest == before


def test_every_user_gets_distinct_items_never_seen(in_home, raw):
    lists = pl.read_parquet(in_home.first.recommendations.path)
    check(lists, RECOMMENDATIONS)
    rated = pl.read_csv(raw / "u.data", separator="\t", has_header=False, infer_schema=False)
    rated = rated.select(user=rated.columns[0], item=rated.columns[1])
    assert set(lists["user"]) == set(rated["user"])
    assert lists.group_by("user").agg(pl.col("item").n_unique())["item"].unique().to_list() == [5]
    assert lists.join(rated, on=["user", "item"]).height == 0
    assert lists["propensity"].is_between(0.0, 1.0).all()


@pytest.mark.slow
def test_the_registered_model_ranks_in_a_fresh_process(in_home, tmp_path):
    code = f"""
import mlflow, pandas as pd
mlflow.set_tracking_uri("sqlite:///{in_home.home}/mlflow.db")
mlflow.set_registry_uri("sqlite:///{in_home.home}/mlflow.db")
model = mlflow.pyfunc.load_model("models:/{in_home.first.model.name}@{in_home.first.model.alias}")
lists = model.predict(pd.DataFrame({{"user": ["1", "7"]}}), params={{"k": 3}})
assert list(lists["rank"]) == [1, 2, 3, 1, 2, 3], lists
assert lists["item"].nunique() >= 3
print(model.metadata.signature)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "user" in done.stdout


def test_recommend_for_a_file_of_users(in_home, tmp_path):
    from rlrec.errors import InputError
    from tasks.recommend import recommend_file

    users = tmp_path / "users.csv"
    users.write_text("user\n3\n5\n")
    model = f"{in_home.first.model.name}@candidate"
    assert recommend_file(model, users, tmp_path / "lists.parquet", 4) == 8
    users.write_text("user\nnobody\n")
    with pytest.raises(InputError, match="nobody"):
        recommend_file(model, users, tmp_path / "other.parquet", 4)
    assert not (tmp_path / "other.parquet").exists()
    with pytest.raises(InputError, match="no registered model"):
        recommend_file("nothing@candidate", users, tmp_path / "other.parquet", 4)


def test_the_curve_is_on_the_run_as_table_and_image_with_the_chosen_caps(in_home):
    from tasks import tracking

    curve = pl.read_parquet(in_home.first.results.path / "curve.parquet")
    chosen = curve.filter("selected_slope").select("target_policy", "base", "family", "lambda").rows()
    logged = parent(in_home.first.run_id).data.metrics
    assert chosen
    for policy, base, family, value in chosen:
        assert logged[f"lambda/slope/{base}/{family}/{policy}"] == min(value, sys.float_info.max)
    api = tracking.client()
    for folder, file in (("tables", "curve.parquet"), ("report/figures", "weight_curve.png")):
        assert f"{folder}/{file}" in {found.path for found in api.list_artifacts(in_home.first.run_id, folder)}


def test_prefect_shows_the_summary(in_home):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_artifacts()
    assert any(artifact.key == "summary" and "|" in str(artifact.data) for artifact in found)
    assert any(a.key == "weight-curve" and "weight_curve.png" in str(a.data) for a in found)
    assert any(artifact.key == "mlflow-run" and in_home.first.run_id in str(artifact.data) for artifact in found)


def test_the_plan_is_a_typed_form():
    from flows.pipeline import pipeline

    schema = pipeline.parameters.model_dump()
    assert "plan" in schema["properties"]
    assert "World" in json.dumps(schema["definitions"])
