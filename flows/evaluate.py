"""Policies + logged feedback -> both halves of the evaluation."""

from dataclasses import dataclass

from prefect import flow

from flows.finetune import Trained, make_policies
from flows.ingest import Tables, make_tables
from flows.pretrain import make_encoders
from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.presets import Plan
from tasks.tracking import opened


@dataclass(frozen=True)
class Judged:
    """Off-policy estimates with their truth, and held-out ranking metrics."""

    counterfactual: Artifact
    heldout: Artifact


def make_judgement(plan: Plan, tables: Tables, trained: Trained, tracking: str | None) -> Judged:
    """Evaluate on `log_eval` and on the test slice."""
    shared = (plan.world, plan.fine_tuning, plan.evaluation)
    counterfactual = orchestrated.counterfactual(
        tables.corpus, trained.simulated, trained.evidence, trained.policies, *shared, tracking=tracking
    )
    heldout = orchestrated.heldout(
        tables.corpus, trained.simulated, trained.encoders, trained.evidence, trained.policies, *shared,
        tracking=tracking,
    )  # fmt: skip
    return Judged(counterfactual, heldout)


@flow(name="evaluate", flow_run_name="{plan.name}")
def evaluate(plan: Plan) -> Judged:
    """Everything up to the evaluation."""
    with opened("evaluate") as run:
        tables = make_tables(plan, run.run_id)
        trained = make_policies(plan, tables, make_encoders(plan, tables, run.run_id), run.run_id)
        return make_judgement(plan, tables, trained, run.run_id)


if __name__ == "__main__":
    from flows.console import run_flow

    run_flow(evaluate)
