"""Raw logs -> a warehouse that grows: stage, load each bucket of users as a task of its own, commit.

The buckets are mapped: `increment.with_options(task_runner=...)` spreads them over threads, processes, Ray or Dask.
"""

from pathlib import Path

from prefect import flow, unmapped

from tasks import orchestrated
from tasks.artifacts import Artifact
from tasks.manifest import writing


@flow(name="increment", flow_run_name="{source}")
def increment(source: str, out: str, path: str | None = None, memory_limit: str = "1GB") -> Artifact:
    """Bring the warehouse `out` up to date with a named dataset's files, or with the logs of a mapping."""
    raw = orchestrated.obtain(source, path)
    place = str(Path(out).absolute())
    with writing(Path(place)):
        buckets = orchestrated.stage_increment(raw, place, memory_limit)
        loaded = orchestrated.load_bucket.map(buckets, out=unmapped(place)).result()
        return orchestrated.finish_increment(raw, place, loaded, memory_limit)
