"""Raw logs -> checked tables -> graphs; buckets of users are mapped tasks, as in `flows/increment.py`."""

from dataclasses import dataclass

from prefect import flow

from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.presets import Plan
from tasks.tracking import opened


@dataclass(frozen=True)
class Tables:
    """A corpus and its graphs."""

    corpus: Artifact
    graphs: Artifact


def make_tables(plan: Plan, tracking: str | None) -> Tables:
    """Obtain the dataset, ingest it, build its graphs."""
    source = orchestrated.obtain(plan.data.name, plan.data.path)
    corpus = orchestrated.ingest(source, plan.world.positive_from, tracking=tracking)
    return Tables(corpus, orchestrated.build_graphs(corpus, plan.world.positive_from, tracking=tracking))


@flow(name="ingest", flow_run_name="{plan.name}")
def ingest(plan: Plan) -> Tables:
    """Ingest the dataset of a plan."""
    with opened("ingest") as run:
        return make_tables(plan, run.run_id)


if __name__ == "__main__":
    from flows.console import run_flow

    run_flow(ingest)
