"""Registered policies + any logged table -> off-policy estimates of them all, compared at once, and the gate."""

from dataclasses import dataclass
from typing import Any

from prefect import flow

from tasks import orchestrated
from tasks.judge import Judging
from tasks.tracking import opened


@dataclass(frozen=True)
class Judged:
    """A record per interval, and the MLflow run that holds the answer."""

    records: list[dict[str, Any]]
    run_id: str | None


@flow(name="judge", flow_run_name="{asked.name}")
def judge(asked: Judging) -> Judged:
    """Judge, then put the answer onto the run and onto the flow run's page."""
    with opened(asked.name) as run:
        records = orchestrated.judge(asked)
        orchestrated.publish_answer(asked, run.run_id)
        return Judged(records, run.run_id)
