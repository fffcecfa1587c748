"""Pull Steps from a training generator: log, checkpoint, judge, stop, resume."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from rlrec.runtime import Start, Step
from tasks import checkpoints
from tasks.artifacts import home

logger = logging.getLogger(__name__)

Judge = Callable[[Step], dict[str, float]]


@dataclass(frozen=True)
class Training:
    """A finished training: the chosen model's tensors, the Step it is from, and every metric of every Step."""

    model: dict[str, Any]
    chosen: int
    history: pl.DataFrame


def pursue(
    begin: Callable[[Start], Iterator[Step]],
    pretrained: dict[str, Any],
    key: str,
    *,
    judge: Judge | None = None,
    criterion: str | None = None,
    watch: Callable[[Step, dict[str, float]], None] = lambda _step, _metrics: None,
) -> Training:
    """Run a training generator to its end, from its last checkpoint if an earlier attempt under `key` was cut off.

    After each Step the state is stored. `judge` measures a Step; the one with the largest `criterion` is chosen, the
    last one without a judge. What is stored is enough that an interrupted run ends as an uninterrupted one.
    """
    place = home() / "checkpoints" / f"{key}.safetensors"
    record: dict[str, Any] = {"history": [], "best": None, "chosen": 0, "score": None}
    checkpoint = None
    if place.exists():
        saved = checkpoints.read(place)
        record, checkpoint = saved["record"], saved["state"]
        logger.info("resuming %s after step %s", key, record["history"][-1]["step"])
    for step in begin(Start(pretrained=pretrained, checkpoint=checkpoint)):
        metrics = {name: float(value) for name, value in step.metrics.items()}
        if judge is not None:
            metrics |= judge(step)
        score = float(step.number) if criterion is None else metrics[criterion]
        if record["score"] is None or score > record["score"]:
            record |= {"best": step.state_dicts["model"], "chosen": step.number, "score": score}
        record["history"] += [{"step": step.number, "metric": name, "value": v} for name, v in metrics.items()]
        checkpoints.write(place, {"record": record, "state": step.state_dicts})
        watch(step, metrics)
    history = pl.DataFrame(record["history"], schema={"step": pl.Int64, "metric": pl.String, "value": pl.Float64})
    return Training(model=record["best"], chosen=record["chosen"], history=history)


def forget(key: str) -> None:
    """Remove the checkpoint of a training whose result is stored."""
    checkpoint_of(key).unlink(missing_ok=True)


def checkpoint_of(key: str) -> Path:
    """Where the checkpoint of a training lies."""
    return home() / "checkpoints" / f"{key}.safetensors"
