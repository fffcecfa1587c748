"""Encoder + logs -> policies: the world's logs, the evidence in them, and Stage B, one policy a seed."""

from dataclasses import dataclass

from prefect import flow

from flows.ingest import Tables, make_tables
from flows.pretrain import make_encoders
from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.presets import Plan
from tasks.tracking import opened


@dataclass(frozen=True)
class Trained:
    """The simulated world and, for every seed, Stage A, what the log says, and the policy."""

    simulated: Artifact
    encoders: list[Artifact]
    evidence: list[Artifact]
    policies: list[Artifact]


def make_policies(plan: Plan, tables: Tables, encoders: list[Artifact], tracking: str | None) -> Trained:
    """Simulate the logs, gather the evidence, train Stage B for every seed."""
    corpus, graphs = tables.corpus, tables.graphs
    simulated = orchestrated.build_world(corpus, graphs, plan.world, tracking=tracking)
    evidence = [
        orchestrated.gather_evidence(
            corpus, graphs, simulated, vectors, plan.world, plan.feedback, seed, tracking=tracking
        )
        for seed, vectors in zip(plan.evaluation.seeds, encoders, strict=True)
    ]
    policies = [
        orchestrated.finetune(
            corpus, graphs, simulated, known, plan.fine_tuning, plan.evaluation, seed, tracking=tracking
        )
        for seed, known in zip(plan.evaluation.seeds, evidence, strict=True)
    ]
    return Trained(simulated, encoders, evidence, policies)


@flow(name="finetune", flow_run_name="{plan.name}")
def finetune(plan: Plan) -> Trained:
    """Everything up to Stage B."""
    with opened("finetune") as run:
        tables = make_tables(plan, run.run_id)
        return make_policies(plan, tables, make_encoders(plan, tables, run.run_id), run.run_id)


if __name__ == "__main__":
    from flows.console import run_flow

    run_flow(finetune)
