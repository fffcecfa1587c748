from dataclasses import replace

import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.curve import curve
from rlrec.ope.estimators import TUNED, named
from rlrec.ope.models import part
from rlrec.ope.rounds import Rounds
from rlrec.ope.selection import select
from rlrec.ope.splitting import set_aside, tuned_on
from tests.ope.worlds import TWO_CONTEXTS

MODEL = np.full((2, 3), 0.4)


def world(users: int = 60) -> Rounds:
    g = np.random.default_rng(0)
    given = {"reward_range": (0.0, 1.0), "cluster": g.integers(0, users, 600), "actions": np.full(600, 3.0)}
    return TWO_CONTEXTS.sample(600, g, model=MODEL, **given)


def test_users_are_on_one_side_and_the_share_is_kept():
    rounds = world()
    pilot = set_aside(rounds, 0.25, seed=3)
    assert not set(rounds.cluster[pilot]) & set(rounds.cluster[~pilot])
    assert len(set(rounds.cluster[pilot])) == 15
    assert set_aside(rounds, 0.001, seed=0).any()
    assert not set_aside(rounds, 0.999, seed=0).all()
    assert (pilot != set_aside(rounds, 0.25, seed=4)).any()


def test_the_rows_of_the_estimate_have_no_say_in_its_parameter():
    rounds = world()
    pilot = set_aside(rounds, 0.5, seed=0)
    turned = replace(rounds, reward=np.where(pilot[:, None], rounds.reward, 1 - rounds.reward))
    kept, others = part(rounds, ~pilot), part(turned, ~pilot)
    names = tuned_on(part(rounds, pilot))
    assert names == tuned_on(part(turned, pilot))
    assert (kept.reward != others.reward).all()
    assert [name.partition("@")[0] for name in names] == list(TUNED)
    for name in names:
        assert named(name, kept).value != named(name, others).value


def test_parameters_are_those_of_the_rule_on_those_users():
    pilot = part(world(), np.arange(300))
    for name, (base, family) in TUNED.items():
        wanted = select(curve(pilot, base, family), "mse_bound")
        assert f"{name}@{wanted.parameter!r}" in tuned_on(pilot)
    bare = tuned_on(replace(pilot, q_hat=None, q_hat_target=None))
    assert [name.partition("@")[0] for name in bare] == ["clipped_ips", "sg_ips"]


def test_what_cannot_be_split_or_chosen_is_told():
    rounds = world()
    with pytest.raises(InputError, match="--reward-min"):
        tuned_on(replace(rounds, reward_range=None))
    with pytest.raises(InputError, match="one user"):
        set_aside(replace(rounds, cluster=np.zeros(600, dtype=np.int64)), 0.5, seed=0)
