"""All flows as deployments with typed forms, to be started from Prefect's page; runs happen here, one at a time."""

from typing import Any

from prefect import serve

from flows.evaluate import evaluate
from flows.exchange import exchange
from flows.finetune import finetune
from flows.increment import increment
from flows.ingest import ingest
from flows.judge import judge
from flows.pipeline import pipeline
from flows.pretrain import pretrain
from tasks import presets

DEFAULT, EXCHANGE = "ml-100k/grpo_slate", "open-bandit/exchange"


def main() -> None:
    """Serve every flow with the default preset filled in, until stopped."""
    trained, exchanged = ({"plan": presets.load(name).model_dump(mode="json")} for name in (DEFAULT, EXCHANGE))
    values: dict[Any, dict[str, Any]] = dict.fromkeys((pipeline, ingest, pretrain, finetune, evaluate), trained)
    deployments = [
        flow.to_deployment(name="default", parameters=parameters, concurrency_limit=1)
        for flow, parameters in (values | {exchange: exchanged}).items()
    ]
    deployments += [flow.to_deployment(name="default", concurrency_limit=1) for flow in (increment, judge)]
    serve(*deployments, limit=1)  # pyright: ignore[reportArgumentType] - sync flows give sync deployments


if __name__ == "__main__":
    main()
