"""The whole story: ingest -> pretrain -> finetune -> evaluate -> register -> report -> recommend."""

from dataclasses import dataclass

from prefect import flow

from flows.evaluate import make_judgement
from flows.finetune import make_policies
from flows.ingest import make_tables
from flows.pretrain import make_encoders
from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.presets import Plan
from tasks.promote import Registered
from tasks.tracking import opened


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: results, the page, the registered model, recommendations, and the MLflow run."""

    results: Artifact
    report: Artifact
    model: Registered
    recommendations: Artifact
    run_id: str | None
    cached_from: str | None


@flow(name="pipeline", flow_run_name="{plan.name}")
def pipeline(plan: Plan) -> Outcome:
    """From a dataset to a judged, registered policy and its recommendations."""
    with opened(f"pipeline {plan.name}", tags={"preset": plan.name}) as run:
        tables = make_tables(plan, run.run_id)
        encoders = make_encoders(plan, tables, run.run_id)
        trained = make_policies(plan, tables, encoders, run.run_id)
        judged = make_judgement(plan, tables, trained, run.run_id)
        model = orchestrated.register(
            tables.corpus, trained.evidence, trained.policies, plan.fine_tuning, plan.evaluation.seeds,
            plan.model_name, run.run_id,
        )  # fmt: skip
        results = orchestrated.conclude(
            plan, tables.corpus, tables.graphs, trained.simulated, encoders, trained.evidence, trained.policies,
            judged.counterfactual, judged.heldout, model, tracking=run.run_id,
        )  # fmt: skip
        report = orchestrated.report(results)
        lists = orchestrated.recommend_all(tables.corpus, model, plan.world.slate, tracking=run.run_id)
        cached_from = orchestrated.publish(plan, results, report, model, lists, run.run_id)
    return Outcome(results, report, model, lists, run.run_id, cached_from)


if __name__ == "__main__":
    from flows.console import run_flow

    run_flow(pipeline)
