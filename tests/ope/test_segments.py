from dataclasses import asdict

import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope.estimators import sndr, snips
from rlrec.ope.models import part
from rlrec.ope.segments import segments, segments_of_stats
from rlrec.ope.statistics import Stats
from tests.ope.test_statistics import ragged
from tests.ope.worlds import TWO_CONTEXTS


def test_each_part_is_the_log_of_its_own_rows():
    g = np.random.default_rng(0)
    rounds = TWO_CONTEXTS.sample(600, g, cluster=g.integers(0, 200, 600))
    label = np.where(g.random(600) < 0.3, "phone", "web")
    found = {one.segment: one for one in segments(rounds, label)}
    assert list(found) == ["web", "phone"]
    assert sum(one.n for one in found.values()) == 600
    w, r = rounds.weights[label == "phone", 0], rounds.reward[label == "phone", 0]
    assert found["phone"].value == pytest.approx(w @ r / w.sum())
    assert found["phone"].logging_value == pytest.approx(r.mean())
    assert found["phone"].ess == pytest.approx(w.sum() ** 2 / (w @ w))
    (whole,) = segments(rounds, np.ones(600, dtype=int))
    assert whole.value == pytest.approx(snips(rounds).value)
    modelled = TWO_CONTEXTS.sample(600, g, model=np.full((2, 3), 0.4))
    (whole,) = segments(modelled, np.ones(600, dtype=int))
    assert whole.value == pytest.approx(sndr(modelled).value)
    assert whole.estimator == "sndr"


def test_all_parts_are_covered_at_once():
    hits = []
    for seed in range(300):
        g = np.random.default_rng(seed)
        rounds = TWO_CONTEXTS.sample(1_200, g)
        hits.append(
            all(one.low <= TWO_CONTEXTS.value <= one.high for one in segments(rounds, g.integers(0, 6, 1_200), 0.9))
        )
    assert 0.85 <= np.mean(hits) <= 0.96


@pytest.mark.parametrize("k", [1, 2])
def test_sums_of_parts_say_what_rows_say(k):
    rounds = ragged(0, 200, k, users=30)  # each of so few users has a shard of its own
    label = np.where(rounds.cluster % 3 == 0, "phone", "web")
    parts = {name: Stats.of(part(rounds, label == name)) for name in ("phone", "web")}
    for one, two in zip(segments_of_stats(parts), segments(rounds, label), strict=True):
        assert asdict(one) == {
            name: value if isinstance(value, str) else pytest.approx(value, rel=1e-9)
            for name, value in asdict(two).items()
        }


def test_missing_labels_and_too_many_are_refused():
    rounds = TWO_CONTEXTS.sample(1_100, np.random.default_rng(0))
    with pytest.raises(InputError, match="without a segment") as caught:
        segments(rounds, np.array([None, "a"] * 550, dtype=object))
    assert caught.value.rows == 550
    with pytest.raises(InputError, match="more than 1,000 segments"):
        segments(rounds, np.arange(1_100))
