"""Two logging policies, each judged from the other's log -> one table with the truth beside, and a page for each."""

from dataclasses import dataclass

from prefect import flow

from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.presets import Exchange
from tasks.sources.catalogue.impressions import BTS, UNIFORM
from tasks.tracking import opened

CLICK = 1.0  # the least reward that is positive


@dataclass(frozen=True)
class Exchanged:
    """The table, and for each row the files of `rlrec ope`."""

    table: Artifact
    answers: tuple[Artifact, ...]
    run_id: str | None


@flow(name="exchange", flow_run_name="{plan.name}")
def exchange(plan: Exchange) -> Exchanged:
    """Ingest both logs of each campaign, and judge each policy from the log of the other."""
    answers: list[Artifact] = []
    with opened(f"exchange {plan.name}", tags={"preset": plan.name}) as run:
        for campaign in plan.campaigns:
            sources = {
                policy: orchestrated.obtain(f"{plan.data.name}-{policy}-{campaign}", plan.data.path)
                for policy in (UNIFORM, BTS)
            }
            logs = {policy: orchestrated.ingest(one, CLICK, tracking=run.run_id) for policy, one in sources.items()}
            beliefs = orchestrated.read_beliefs(sources[BTS], campaign)
            for policy, logger in ((BTS, UNIFORM), (UNIFORM, BTS)):
                tables = orchestrated.targets(
                    campaign, policy, logs[logger], logs[policy], beliefs, plan.judging, tracking=run.run_id
                )
                answers.append(orchestrated.answer(tables, plan.judging, tracking=run.run_id))
        table = orchestrated.tabulate(answers, tracking=run.run_id)
        orchestrated.publish_exchange(plan, table, answers, run.run_id)
    return Exchanged(table, tuple(answers), run.run_id)


if __name__ == "__main__":
    from flows.console import run_flow

    run_flow(exchange)
