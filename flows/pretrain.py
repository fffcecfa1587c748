"""Corpus -> frozen encoder vectors, one set a seed."""

from prefect import flow

from flows.ingest import Tables, make_tables
from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.presets import Plan
from tasks.tracking import opened


def make_encoders(plan: Plan, tables: Tables, tracking: str | None) -> list[Artifact]:
    """Stage A for every seed."""
    return [
        orchestrated.pretrain(tables.corpus, tables.graphs, plan.pretraining, seed, tracking=tracking)
        for seed in plan.evaluation.seeds
    ]


@flow(name="pretrain", flow_run_name="{plan.name}")
def pretrain(plan: Plan) -> list[Artifact]:
    """Everything up to Stage A."""
    with opened("pretrain") as run:
        return make_encoders(plan, make_tables(plan, run.run_id), run.run_id)


if __name__ == "__main__":
    from flows.console import run_flow

    run_flow(pretrain)
