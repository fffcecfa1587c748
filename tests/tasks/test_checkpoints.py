"""Training state survives the disk exactly, and a damaged file is refused."""

import pytest
import torch

from rlrec.errors import InputError
from tasks import checkpoints


def test_a_nested_state_comes_back_exactly(tmp_path):
    state = {
        "model": {"weight": torch.arange(6.0).view(2, 3), "empty": torch.zeros(0)},
        "optimiser": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
        "record": {"best": None, "score": 0.5, "history": [{"step": 1, "metric": "train/loss", "value": 0.25}]},
    }  # fmt: skip
    checkpoints.write(tmp_path / "state.safetensors", state)
    found = checkpoints.read(tmp_path / "state.safetensors")
    assert torch.equal(found["model"]["weight"], state["model"]["weight"])
    assert found["model"]["empty"].shape == (0,)
    assert found["optimiser"]["state"][0]["step"].item() == 3.0
    assert found["optimiser"]["param_groups"][0]["betas"] == [0.9, 0.99]
    assert found["record"] == state["record"]


def test_a_shared_tensor_is_stored_whole(tmp_path):
    whole = torch.arange(10.0)
    checkpoints.write(tmp_path / "state.safetensors", {"a": whole[:5], "b": whole})
    found = checkpoints.read(tmp_path / "state.safetensors")
    assert torch.equal(found["a"], whole[:5])
    assert torch.equal(found["b"], whole)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all", b"\x80\x04pickle"])
def test_a_damaged_file_is_refused_with_a_remedy(tmp_path, content):
    file = tmp_path / "state.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match="delete the file"):
        checkpoints.read(file)
