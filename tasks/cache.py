"""BY_CONTENT, the one cache policy: task inputs, our own sources, and the versions of what computes."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.settings import get_current_settings
from pydantic import BaseModel

from tasks.artifacts import Artifact, described, home
from tasks.sources import Source
from tasks.sources.catalogue.bundle import Feed
from tasks.sources.rawfiles import digest_of_raw

COMPUTING = ("torch", "polars", "duckdb", "numpy", "scipy", "scikit-learn")
SOURCES = ("rlrec", "sql", "tasks")
UNKEYED = ("tracking",)  # where progress is reported to does not change what is computed


class ByContent(CachePolicy):
    """Two calls are the same when their inputs, our sources and the computing libraries are.

    Prefect's TASK_SOURCE sees only the thin task body, and would serve results of old library code.
    """

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002 - part of Prefect's interface
        **_: Any,
    ) -> str | None:
        key = content_key(task_ctx.task.name, inputs)
        target = place(task_ctx.task.name, key)
        record = hashlib.sha256(str(target).encode()).hexdigest()[:32]  # another home has other files
        if described(target) is None:
            (Path(get_current_settings().results.local_storage_path) / record).unlink(missing_ok=True)
        return record


BY_CONTENT = ByContent()


def content_key(name: str, inputs: Mapping[str, Any]) -> str:
    """The key of a task's result."""
    named = {k: _plain(v) for k, v in sorted(inputs.items()) if k not in UNKEYED}
    text = json.dumps([name, named, code_digest()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def place(name: str, key: str) -> Path:
    """Where the result of a task lies: derived from its content key, so that a rerun finds it."""
    return home() / "store" / name / key


@cache
def code_digest() -> str:
    """SHA-256 over our own sources and the versions of the computing libraries."""
    total = hashlib.sha256()
    root = Path(__file__).resolve().parents[1]
    for folder in SOURCES:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in {".py", ".sql", ".html", ".css", ".js", ".j2"}:
                total.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    for library in COMPUTING:
        total.update(f"{library}=={version(library)}".encode())
    return total.hexdigest()


def _plain(value: object) -> object:
    match value:
        case Artifact():
            return [value.kind, value.digest]
        case Source():
            raw = [_raw(value, feed) for feed in value.feeds]
            kept = _plain([value.filters, value.splits, value.propensities])
            return [value.name, value.layout, raw, kept, value.grain, value.max_reject_share]
        case BaseModel():
            return value.model_dump(mode="json")
        case Mapping():
            return {str(k): _plain(v) for k, v in sorted(value.items())}
        case list() | tuple():
            return [_plain(v) for v in value]
        case _:
            return value


def _raw(source: Source, feed: Feed) -> list[str]:
    """A raw file by its content, not its place, and how it is read."""
    state = feed.file.stat()
    digest = source.digests.get(feed.form.name) or _digest(feed.file, state.st_size, state.st_mtime_ns)
    return [feed.label or feed.form.name, digest, repr(feed.form), repr(feed.statement)]


@cache
def _digest(file: Path, _size: int, _changed: int) -> str:
    """A raw file's SHA-256, once for all the keys of a run: a log may be large."""
    return digest_of_raw(file)
