"""Raw logs -> a warehouse that grows, and a corpus of all that it holds.

Buckets of users are mapped tasks, here and in the pipeline: `increment.with_options(task_runner=...)` spreads them over
threads, processes, Ray or Dask.
"""

from tasks import environment  # noqa: F401  # isort: skip - settings that prefect reads when it is imported
from prefect import flow

from tasks import orchestrated
from tasks.artifacts import Artifact


@flow(name="increment", flow_run_name="{source}")
def increment(source: str, out: str, path: str | None = None, memory_limit: str = "1GB") -> Artifact:
    """Bring the warehouse `out` up to date with a named dataset's files, or with the logs of a mapping."""
    return orchestrated.increment(orchestrated.obtain(source, path), out, memory_limit)
