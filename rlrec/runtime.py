"""Runtime, Start and Step: what a training generator is given and what it yields; `descend`, its one side effect."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor


@dataclass(frozen=True)
class Runtime:
    """Where a training generator runs: device, place among the processes, and its own source of random numbers."""

    generator: torch.Generator
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    world_size: int = 1

    @staticmethod
    def seeded(seed: int, device: str = "cpu") -> "Runtime":
        """One process on `device` whose random numbers follow from `seed` alone."""
        place = torch.device(device)
        return Runtime(generator=torch.Generator(device=place).manual_seed(seed), device=place)


@dataclass(frozen=True)
class Start:
    """Where training begins: the frozen tensors of the stage before, and the checkpoint of an interrupted run."""

    pretrained: Mapping[str, Tensor] = field(default_factory=dict)
    checkpoint: Mapping[str, Mapping[str, object]] | None = None


@dataclass(frozen=True)
class Step:
    """What a training generator yields: detached scalar metrics, and the state from which it can go on.

    `state_dicts` is keyed by part (`model`, `optimiser`, `runtime`); it is only filled when `resumable` steps are due.
    """

    number: int
    metrics: dict[str, Tensor]
    state_dicts: dict[str, dict[str, Any]] = field(default_factory=dict)


class DivergedError(RuntimeError):
    """The loss or a gradient stopped being finite."""


def descend(
    loss: Tensor, optimiser: torch.optim.Optimizer, parameters: Iterable[Tensor], max_norm: float
) -> dict[str, Tensor]:
    """Zero, backward, finite check, clip, step. Returns the gradient norm before clipping as `train/grad_norm`."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(list(parameters), max_norm)
    if not bool(torch.isfinite(norm)):
        value = float(loss.detach())
        raise DivergedError(f"loss {value:.4g}, gradient norm {float(norm):.4g}: lower the learning rate")
    optimiser.step()
    return {"train/grad_norm": norm.detach()}


def snapshot(
    model: torch.nn.Module, optimiser: torch.optim.Optimizer, runtime: Runtime, number: int
) -> dict[str, dict]:
    """Copies of all that a run needs to go on after step `number`: `model`, `optimiser`, `runtime`."""
    return copy.deepcopy(
        {
            "model": dict(model.state_dict()),
            "optimiser": optimiser.state_dict(),
            "runtime": {"generator": runtime.generator.get_state(), "number": number},
        }
    )


def restore(model: torch.nn.Module, optimiser: torch.optim.Optimizer, runtime: Runtime, start: Start) -> int:
    """Put a `snapshot` back, random numbers included; returns the number of the last step done, 0 for a fresh run."""
    if start.checkpoint is None:
        return 0
    saved = copy.deepcopy(dict(start.checkpoint))
    model.load_state_dict(saved["model"])
    optimiser.load_state_dict(dict(saved["optimiser"]))
    runtime.generator.set_state(cast(Tensor, saved["runtime"]["generator"]))
    return int(cast(int, saved["runtime"]["number"]))
