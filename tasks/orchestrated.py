"""The bodies wrapped as Prefect tasks: names, cache, retries, time limits. The only Prefect logic beside the flows."""

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from tasks import environment  # noqa: F401  # isort: skip - settings that prefect reads when it is imported
from prefect import task, unmapped
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from tasks import (
    evaluate,
    evidence,
    exchange,
    graphs,
    learn,
    outcome,
    promote,
    publication,
    recommend,
    simulate,
    warehouse,
)
from tasks import judge as judging
from tasks.artifacts import Artifact, describe, described
from tasks.cache import BY_CONTENT, content_key, place
from tasks.manifest import DataFile
from tasks.presets import Exchange, Plan
from tasks.promote import Registered
from tasks.report import page
from tasks.sources import Source, fetch
from tasks.tracking import Run

logger = logging.getLogger(__name__)

LONGEST_SECONDS = 6 * 3_600


def stored(body: Callable[..., Artifact], name: str, **arguments: Any) -> Any:
    """A task whose result lies where its content key says: found there, it is not made again, with Prefect or bare.

    The body gets its place as `target`; callers do not see that argument.
    """

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> Artifact:
        call = visible.bind(*args, **kwargs)
        call.apply_defaults()
        inputs = call.arguments
        target = place(name, content_key(name, inputs))
        earlier = described(target)
        if earlier is not None:
            return earlier
        started = time.monotonic()
        made = body(**inputs, target=target)
        logger.info("%s: done in %.1f s", name, time.monotonic() - started)
        return describe(made.model_copy(update={"seconds": time.monotonic() - started}), target)

    signature = inspect.signature(body)
    shown = [parameter for parameter in signature.parameters.values() if parameter.name != "target"]
    visible = signature.replace(parameters=shown)
    vars(run)["__signature__"] = visible  # what inspect reads, and so Prefect
    settings: dict[str, Any] = {"cache_policy": BY_CONTENT, "persist_result": True, "timeout_seconds": LONGEST_SECONDS}
    return task(name=name, **(settings | arguments))(run)


def obtain_source(name: str, path: str | None) -> Source:
    """Find or download the raw files; cheap when they are here, and verified every time."""
    source = fetch(name, None if path is None else Path(path))
    logger.info("%s from %s", source.title, source.origin)
    logger.info("terms: %s", source.licence)
    return source


obtain = task(name="obtain", cache_policy=NO_CACHE, persist_result=False)(obtain_source)
load_bucket = task(name="load-bucket", cache_policy=NO_CACHE, persist_result=False, retries=1)(warehouse.load_one)


def load_spread(buckets: Sequence[int], out: str) -> Sequence[list[DataFile]]:
    """Load each bucket in a task of its own, wherever the flow's task runner puts it."""
    if FlowRunContext.get() is None:
        return warehouse.in_threads(buckets, out)
    return load_bucket.map(list(buckets), out=unmapped(out)).result()


def ingest_spread(source: Source, positive_from: float, *, target: Path, tracking: str | None = None) -> Artifact:
    """Raw files -> a warehouse of their own and its corpus."""
    return warehouse.ingest_source(source, positive_from, target=target, tracking=tracking, load=load_spread)


@task(name="increment", cache_policy=NO_CACHE, persist_result=False)
def increment(source: Source, out: str, memory_limit: str) -> Artifact:
    """What is new in the files -> the warehouse `out`, and a corpus of all that it holds."""
    return warehouse.ingest(source, Path(out), memory_limit=memory_limit, load=load_spread)


ingest = stored(ingest_spread, "ingest")
build_graphs = stored(graphs.graphs, "graphs")
build_world = stored(simulate.simulate, "simulate")
pretrain = stored(learn.pretrain, "pretrain")
gather_evidence = stored(evidence.gather, "evidence")
finetune = stored(learn.finetune, "finetune")
counterfactual = stored(evaluate.counterfactual, "counterfactual")
heldout = stored(evaluate.heldout, "heldout")
conclude = stored(outcome.conclude, "results")
report = stored(page.report, "report")
recommend_all = stored(recommend.recommend_all, "recommend")
targets = stored(exchange.targets, "targets")
answer = stored(exchange.answer, "answer")
tabulate = stored(exchange.tabulate, "exchange")
read_beliefs = task(name="beliefs", cache_policy=NO_CACHE, persist_result=False)(exchange.read_beliefs)
register = task(name="register", cache_policy=NO_CACHE, persist_result=False)(promote.register)


@task(name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish(
    plan: Plan, results: Artifact, page: Artifact, model: Registered, lists: Artifact, tracking: str | None
) -> str | None:
    """Put the outcome on the parent run and on the flow run's page; returns the run that it was first made by."""
    told = outcome.publish(plan, results, page, model, lists, tracking)
    create_markdown_artifact(key="summary", markdown=told.markdown, description=told.headline)
    point_to(told.link, told.image, told.headline)
    return told.cached_from


judge = task(name="judge", cache_policy=NO_CACHE, persist_result=False)(judging.judge)


@task(name="publish-answer", cache_policy=NO_CACHE, persist_result=False)
def publish_answer(asked: judging.Judging, tracking: str | None) -> None:
    """Put an off-policy answer on its MLflow run and on the flow run's page."""
    run, answer = Run(tracking), publication.Answer(Path(asked.out))
    run.params(asked.model_dump())
    publication.log_answer(run, answer)
    create_markdown_artifact(key="gate", markdown=answer.markdown(), description=answer.sentence())
    create_table_artifact(key="estimates", table=answer.table(), description=answer.estimates["estimand"])
    point_to(run.link(), run.file_link(publication.CURVE_IMAGE), answer.sentence())


def point_to(link: str | None, image: str | None, description: str) -> None:
    """The MLflow run, and its picture of the weight-vs-bias curve, on the flow run's page."""
    if link is not None:
        create_link_artifact(key="mlflow-run", link=link, link_text="MLflow run", description=description)
    if image is not None:
        create_image_artifact(key="weight-curve", image_url=image, description=description)


@task(name="publish-exchange", cache_policy=NO_CACHE, persist_result=False)
def publish_exchange(plan: Exchange, table: Artifact, answers: Sequence[Artifact], tracking: str | None) -> None:
    """Put the table on the parent run and on the flow run's page."""
    link = exchange.publish(plan, table, answers, tracking)
    headline = "Each policy judged from the other's log, in 1/1,000 per shown item; truth is its own log's mean"
    create_markdown_artifact(key="exchange", markdown=exchange.markdown(table), description=headline)
    if link is not None:
        create_link_artifact(key="mlflow-run", link=link, link_text="MLflow run", description=headline)
