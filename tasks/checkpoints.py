"""Training state on disk: tensors as safetensors, everything else as JSON in the same file's header. No pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from rlrec.errors import InputError
from tasks.artifacts import aside


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Store a nested state of dicts, lists, numbers, strings and tensors; the old file stays until the new is whole."""
    tensors: dict[str, Tensor] = {}
    tree = _pack(state, tensors)
    with aside(path) as draft:
        save_file(tensors, draft, metadata={"tree": json.dumps(tree)})


def read(path: Path) -> dict[str, Any]:
    """The state as it was written.

    Raises:
        InputError: the file is no state of ours, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            tree = json.loads(file.metadata()["tree"])
    except (SafetensorError, OSError, KeyError, TypeError, json.JSONDecodeError) as fault:
        raise InputError(
            f"a stored training state cannot be read: {fault}", file=path, remedy="delete the file and run again"
        ) from fault
    return _unpack(tree, tensors)


def _pack(value: object, tensors: dict[str, Tensor]) -> object:
    match value:
        case Tensor():
            name = f"t{len(tensors)}"
            tensors[name] = value.detach().clone().contiguous()
            return {"tensor": name}
        case Mapping():
            return {"map": [[key, _pack(inner, tensors)] for key, inner in value.items()]}
        case list() | tuple():
            return {"list": [_pack(inner, tensors) for inner in value]}
        case _:
            return {"value": value}


def _unpack(tree: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    ((kind, content),) = tree.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "map":
            return {key: _unpack(inner, tensors) for key, inner in content}
        case "list":
            return [_unpack(inner, tensors) for inner in content]
        case _:
            return content


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Plain named tensors."""
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Plain named tensors, by safetensors: nothing in the file is executed."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping


def seeded(seed: int, purpose: str) -> torch.Generator:
    """A generator whose numbers follow from a seed and what they are for."""
    return torch.Generator().manual_seed((seed * 1_000_003 + sum(purpose.encode())) % (1 << 62))
