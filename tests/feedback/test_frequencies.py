"""Counts of a fold are those of the other folds."""

from rlrec.feedback.frequencies import own_counts, shown_counts
from tests.feedback.test_propensity import log


def test_a_fold_is_counted_by_all_the_others():
    slates = log(300).lazy()
    own = own_counts(slates, 3).collect()
    shown = shown_counts(slates, 3).collect()
    assert own["own"].sum() == 300
    assert shown["shown"].sum() == 2 * 300
