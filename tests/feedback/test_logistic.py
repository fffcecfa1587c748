"""The pieces of the logistic model: groups part the catalogue, contexts are read back as their levels."""

import numpy as np

from rlrec.feedback.logistic import LEVELS, Logistic, grouped, one_hot, sizes
from tests.feedback.test_propensity import log


def test_groups_part_the_catalogue_of_each_fold():
    recipe = Logistic(heads=2, bins=2)
    found = sizes(grouped(log(500).lazy(), recipe), recipe, 9)
    assert (found.sum(axis=1) == 9).all()
    assert (found[:, :2] == 1).all()
    assert (found[:, -1] >= 5).all()  # never shown


def test_a_context_has_one_level_of_each_feature():
    features = ("hour", "weekday")
    rows = one_hot(np.arange(LEVELS["hour"] * LEVELS["weekday"]), features)
    assert (rows.sum(axis=1) == len(features)).all()
    assert len(np.unique(rows, axis=0)) == len(rows)
