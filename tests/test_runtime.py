"""The one side effect of training, and the state from which an interrupted run goes on."""

import math

import pytest
import torch

from rlrec.runtime import DivergedError, Runtime, Start, descend, restore, snapshot

RATE = 0.1
WEIGHT = (3.0, -4.0)


def model_and_optimiser(momentum: float = 0.0) -> tuple[torch.nn.Linear, torch.optim.SGD]:
    """y = w·x without bias."""
    model = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([WEIGHT]))
    return model, torch.optim.SGD(model.parameters(), lr=RATE, momentum=momentum)


def half_square(model: torch.nn.Linear) -> torch.Tensor:
    """½ ‖w‖², whose gradient is w."""
    return 0.5 * model.weight.square().sum()


@pytest.mark.parametrize("max_norm", [100.0, 1.0])
def test_descend_steps_along_the_clipped_gradient_and_returns_its_norm(max_norm):
    model, optimiser = model_and_optimiser()
    before = model.weight.detach().clone()
    found = descend(half_square(model), optimiser, model.parameters(), max_norm)
    norm = math.hypot(*WEIGHT)
    assert found.keys() == {"train/grad_norm"}
    assert found["train/grad_norm"].item() == pytest.approx(norm)
    assert not found["train/grad_norm"].requires_grad
    torch.testing.assert_close(
        model.weight.detach(), before * (1 - RATE * min(1.0, max_norm / norm)), rtol=1e-5, atol=0
    )


def test_descend_forgets_the_gradients_of_earlier_steps():
    model, optimiser = model_and_optimiser()
    before = model.weight.detach().clone()
    model.weight.grad = torch.full_like(model.weight, 1e3)
    descend(half_square(model), optimiser, model.parameters(), max_norm=100.0)
    torch.testing.assert_close(model.weight.detach(), before * (1 - RATE))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_descend_refuses_a_gradient_that_is_not_finite(poison):
    model, optimiser = model_and_optimiser()
    before = model.weight.detach().clone()
    with pytest.raises(DivergedError, match="lower the learning rate"):
        descend(half_square(model) * poison, optimiser, model.parameters(), max_norm=1.0)
    assert torch.equal(model.weight.detach(), before)


def noisy_step(model: torch.nn.Linear, optimiser: torch.optim.Optimizer, runtime: Runtime) -> None:
    """A step whose direction is drawn from the runtime's generator, with momentum's memory of earlier ones."""
    noise = torch.rand(model.weight.shape, generator=runtime.generator)
    descend((model.weight * noise).sum() + half_square(model), optimiser, model.parameters(), max_norm=100.0)


def test_a_restored_run_goes_on_as_if_never_interrupted():
    model, optimiser = model_and_optimiser(momentum=0.9)
    runtime = Runtime.seeded(1)
    for _ in range(3):
        noisy_step(model, optimiser, runtime)
    saved = snapshot(model, optimiser, runtime, number=3)
    for _ in range(3):
        noisy_step(model, optimiser, runtime)

    again, its_optimiser = model_and_optimiser(momentum=0.9)
    its_runtime = Runtime.seeded(2)
    assert restore(again, its_optimiser, its_runtime, Start(checkpoint=saved)) == 3
    for _ in range(3):
        noisy_step(again, its_optimiser, its_runtime)
    assert torch.equal(again.weight, model.weight)
    assert torch.equal(its_runtime.generator.get_state(), runtime.generator.get_state())


def test_a_snapshot_is_not_changed_by_what_follows():
    model, optimiser = model_and_optimiser(momentum=0.9)
    runtime = Runtime.seeded(1)
    saved = snapshot(model, optimiser, runtime, number=0)
    noisy_step(model, optimiser, runtime)
    assert saved["model"]["weight"].tolist() == [list(WEIGHT)]
    assert saved["optimiser"]["state"] == {}
    assert torch.equal(saved["runtime"]["generator"], Runtime.seeded(1).generator.get_state())


def test_a_fresh_start_restores_nothing():
    model, optimiser = model_and_optimiser()
    runtime = Runtime.seeded(1)
    assert restore(model, optimiser, runtime, Start()) == 0
    assert model.weight.tolist() == [list(WEIGHT)]
    assert torch.equal(runtime.generator.get_state(), Runtime.seeded(1).generator.get_state())


def test_a_seed_fixes_the_random_numbers():
    first, second, other = (torch.rand(3, generator=Runtime.seeded(seed).generator) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
