"""Presets: typed, overridable, and clear about mistakes."""

import pytest

from rlrec.errors import InputError
from tasks import presets


@pytest.mark.parametrize("name", presets.names())
def test_every_shipped_preset_loads(name):
    plan = presets.load(name)
    assert plan.name == name
    assert plan.model_validate(plan.model_dump(mode="json")) == plan


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(InputError, match=r"did you mean 'ml-100k/grpo_slate'\?"):
        presets.load("ml-100k/grpo_slat")


def test_changes_are_typed_values():
    plan = presets.load("ml-100k/grpo_slate", ["fine_tuning.group=4", "evaluation.seeds=[7]", "fine_tuning.reward=ips"])
    assert isinstance(plan, presets.Plan)
    assert (plan.fine_tuning.group, plan.evaluation.seeds, plan.fine_tuning.reward) == (4, (7,), "ips")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("fine_tuning.gruop=4", "fine_tuning.group"),
        ("groups=4", "fine_tuning.group"),
        ("world.epsilonn=0", "world.epsilon"),
        ("fine_tuning.group=1", "greater than or equal to 2"),
        ("fine_tuning.reward=magic", "'dr', 'ips' or 'dm'"),
        ("world.epsilon=2", "less than or equal to 1"),
        ("fine_tuning.group", "has no '='"),
        ("fine_tuning.slate=3", "world.slate is 10"),
    ],
)
def test_a_wrong_change_says_what_would_be_right(change, said):
    with pytest.raises(InputError) as fault:
        presets.load("ml-100k/grpo_slate", [change])
    assert said in str(fault.value)


def test_a_preset_that_is_no_toml_is_named(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[data\n")
    with pytest.raises(InputError, match="not valid TOML"):
        presets.load(str(broken))


def test_a_stage_without_its_algorithm_is_told_which_there_are(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text('[data]\nname = "ml-100k"\n[pretraining]\nepochs = 3\n')
    with pytest.raises(InputError, match=r"'pretraining\.algorithm' is missing") as fault:
        presets.load(str(file))
    assert fault.value.remedy == "choose one of: 'bpr', 'graph_cl'"
    plan = presets.load(str(file), ["pretraining.algorithm=bpr"])
    assert isinstance(plan, presets.Plan)
    assert plan.pretraining.algorithm == "bpr"


def test_known_keys_cover_both_stages():
    keys = presets.known_keys(presets.Plan)
    assert {"pretraining.epochs", "fine_tuning.epochs", "world.seed", "data.path", "evaluation.seeds"} <= set(keys)


def test_each_kind_of_preset_has_keys_of_its_own(tmp_path):
    plan = presets.load("open-bandit/exchange", ["judging.draws=10", 'campaigns=["men"]'])
    assert isinstance(plan, presets.Exchange)
    assert (plan.judging.draws, plan.campaigns) == (10, ("men",))
    with pytest.raises(InputError, match=r"nearest is 'judging\.draws'"):
        presets.load("open-bandit/exchange", ["draws=10"])
    file = tmp_path / "plan.toml"
    file.write_text('kind = "exchang"\n[data]\nname = "ml-100k"\n')
    with pytest.raises(InputError, match="no kind of preset 'exchang'"):
        presets.load(str(file))
