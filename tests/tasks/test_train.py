"""Pursuing Steps: the best is kept by the criterion, and an interrupted run ends as an uninterrupted one."""

from collections.abc import Iterator

import pytest
import torch

from rlrec.runtime import Runtime, Start, Step, descend, restore, snapshot
from tasks.train import checkpoint_of, forget, pursue


class Interruption(BaseException):
    """A kill, as far as Python can feel one."""


def training(stop_after: int | None = None):
    """A noisy linear regression whose every step depends on all random numbers before it."""

    def begin(start: Start) -> Iterator[Step]:
        runtime = Runtime.seeded(7)
        model = torch.nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.fill_(0.1)
            model.bias.zero_()
        optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
        for number in range(restore(model, optimiser, runtime, start) + 1, 7):
            features = torch.randn(16, 3, generator=runtime.generator)
            loss = (model(features).squeeze(1) - features.sum(1)).pow(2).mean()
            norm = descend(loss, optimiser, model.parameters(), 10.0)
            yield Step(number, norm | {"train/loss": loss.detach()}, snapshot(model, optimiser, runtime, number))
            if number == stop_after:
                raise Interruption

    return begin


def test_a_resumed_run_equals_an_uninterrupted_one():
    whole = pursue(training(), {}, "whole")
    with pytest.raises(Interruption):
        pursue(training(stop_after=3), {}, "cut")
    resumed = pursue(training(), {}, "cut")
    assert resumed.history.equals(whole.history)
    assert all(torch.equal(resumed.model[name], whole.model[name]) for name in whole.model)


def test_the_best_step_by_the_criterion_is_chosen_also_across_an_interruption():
    scores = {1: 0.1, 2: 0.9, 3: 0.2, 4: 0.3, 5: 0.8, 6: 0.0}

    def judge(step: Step) -> dict[str, float]:
        return {"select/score": scores[step.number]}

    whole = pursue(training(), {}, "judged", judge=judge, criterion="select/score")
    with pytest.raises(Interruption):
        pursue(training(stop_after=4), {}, "judged and cut", judge=judge, criterion="select/score")
    resumed = pursue(training(), {}, "judged and cut", judge=judge, criterion="select/score")
    assert whole.chosen == resumed.chosen == 2
    assert all(torch.equal(resumed.model[name], whole.model[name]) for name in whole.model)


def test_forgetting_removes_the_checkpoint():
    pursue(training(), {}, "gone")
    assert checkpoint_of("gone").exists()
    forget("gone")
    assert not checkpoint_of("gone").exists()
