"""Twenty seeded steps of every objective give the metrics they gave when they were last looked at.

`python -m tests.golden.test_golden` writes them anew; a commit that does says why they moved.
"""

import json
import tempfile
from pathlib import Path

import pytest

from rlrec import recipes
from rlrec.algorithms.grpo_slate import GrpoSlate
from rlrec.pretrain.bpr import BPR
from rlrec.pretrain.graph_cl import GraphCL
from rlrec.runtime import Runtime, Start
from tests.learned import drawn_practice
from tests.worlds import small_world

STEPS = 20
# one gradient step each; every value that matters is written out, so that new defaults leave these runs alone
PRETRAINING = {"width": 8, "epochs": STEPS, "batch_size": 4_096, "learning_rate": 0.02, "l2": 1e-3, "max_norm": 100.0}
RUNS = {
    "bpr": BPR(layers=0, **PRETRAINING),
    "graph_cl": GraphCL(
        contrast="xsimgcl", layers=2, contrast_layer=1, noise=0.2, temperature=0.15, contrast_weight=0.05, **PRETRAINING
    ),
    "grpo_slate": GrpoSlate(
        reward="dr", advantage="center", ratio="position", graph_reg="metapath", slate=4, group=6, temperature=1.0,
        clip_below=0.2, clip_above=0.28, kl_reference=0.02, entropy=1e-3, graph_weight=0.01, metapath_spread=1e-3,
        hidden=16, layers=2, batch=32, inner_epochs=1, epochs=STEPS, learning_rate=5e-3, weight_decay=0.01,
        max_norm=1.0,
    ),
}  # fmt: skip


def place(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.json")


def measured(name: str, folder: Path) -> dict[str, list[float]]:
    """Each metric at every step."""
    recipe, runtime = RUNS[name], Runtime.seeded(1)
    if isinstance(recipe, GrpoSlate):
        steps = list(recipes.finetune(recipe, drawn_practice(folder), Start(), runtime))
    else:
        steps = list(recipes.pretrain(recipe, small_world(folder), Start(), runtime))
    return {metric: [float(step.metrics[metric]) for step in steps] for metric in sorted(steps[0].metrics)}


def test_every_recipe_has_its_golden_run():
    from tests.test_recipes import ALL

    assert {type(recipe) for recipe in RUNS.values()} == set(ALL)


@pytest.mark.parametrize("name", RUNS)
def test_golden(name, tmp_path):
    expected = json.loads(place(name).read_text(encoding="utf-8"))
    found = measured(name, tmp_path)
    assert found.keys() == expected.keys()
    for metric, values in expected.items():
        assert len(values) == STEPS
        assert found[metric] == pytest.approx(values, rel=1e-3, abs=1e-5), metric


if __name__ == "__main__":
    for each in RUNS:
        with tempfile.TemporaryDirectory() as scratch:
            text = json.dumps(measured(each, Path(scratch)), indent=1)
        place(each).write_text(text + "\n", encoding="utf-8")
