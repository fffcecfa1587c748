import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rlrec.errors import InputError
from rlrec.ope import Rounds, evaluate
from rlrec.ope.estimators import clipped_ips, dr, ips, sndr, snips
from rlrec.ope.evaluation import METHODS
from rlrec.ope.likelihood import cressie_read, units_of
from rlrec.ope.selection import RULES
from tests.ope.test_estimators import columns_of, random_rounds
from tests.ope.worlds import TWO_CONTEXTS

BOOTSTRAPS = ("bootstrap_basic", "bootstrap_bca", "bootstrap_blocks")

IMPORTS = """
import sys, time
import rlrec.ope, rlrec.ope.bounds, rlrec.ope.curve, rlrec.ope.selection, rlrec.ope.validation, tasks.estimates
print(time.process_time())
print(sorted({name.partition('.')[0] for name in sys.modules} & {
    'torch', 'prefect', 'mlflow', 'pandas', 'matplotlib', 'plotly', 'sklearn', 'duckdb', 'jax'}))
print('scipy.stats' in sys.modules)
"""


def test_imports_are_light():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    seconds, heavy, statistics = done.stdout.splitlines()
    assert heavy == "[]"
    assert statistics == "False"
    assert float(seconds) < 1.5  # CPU, so that a busy machine does not fail it; about 0.6 where it is idle


def test_every_estimate_comes_with_two_intervals_and_its_diagnostics():
    rounds = random_rounds(0, count=300, k=2, reward_range=(-10.0, 10.0))
    result = evaluate(rounds, target_policy="new", truth=0.1, replicates=200, resampled_choices=20)
    assert [(r.estimator, r.method) for r in result.records] == [
        (name, method)
        for name, closed in (("ips", "student"), ("snips", "delta"), ("dr", "student"), ("sndr", "delta"))
        for method in (closed, "bootstrap_percentile")
    ] + [("cressie_read", "cressie_read")]
    for record in result.records[:-1]:
        assert record.value == {"ips": ips, "snips": snips, "dr": dr, "sndr": sndr}[record.estimator](rounds).value
        assert record.low < record.value < record.high
        assert record.ess == result.diagnostics.effective_sample_size
        assert record.true_value == 0.1
        assert record.verdict == result.verdict.grade
    assert result.curve["base"].unique().sort().to_list() == ["dr", "ips", "sndr", "snips"]
    assert result.logging_value == pytest.approx(rounds.reward.sum(axis=1).mean())
    for base in ("ips", "snips", "dr", "sndr"):
        for rule in RULES:
            rows = result.curve.filter(result.curve["base"] == base)
            marked = rows.filter(rows[f"selected_{rule}"])["lambda"].to_list()
            chosen = [s for s in result.selections if s.base == base and s.rule == rule]
            assert marked == [s.parameter for s in chosen]
            assert rows.filter(rows[f"selected_{rule}"])[f"frequency_{rule}"].to_list() == [s.frequency for s in chosen]


def test_every_method_names_its_validity_and_asks_for_what_it_needs():
    model, given = np.full((2, 3), 0.4), {"reward_range": (0.0, 1.0), "max_weight": 2.5}
    rounds = TWO_CONTEXTS.sample(300, np.random.default_rng(0), model=model, **given)
    result = evaluate(rounds, methods=METHODS, planned_users=300, replicates=50)
    found = {(r.method, r.estimator): r for r in result.records[8:]}
    both, all_four = ("ips", "dr"), ("ips", "snips", "dr", "sndr")
    assert set(found) == {
        ("cressie_read", "cressie_read"),
        *((method, "ips") for method in ("truncated", "betting")),
        *((method, name) for method in ("hoeffding", "empirical_bernstein") for name in both),
        *((method, name) for method in ("confidence_sequence", *BOOTSTRAPS) for name in all_four),
    }
    kinds = {method: r.validity for (method, _), r in found.items()}
    assert kinds == {
        "cressie_read": "asymptotic", "truncated": "finite", "hoeffding": "finite", "empirical_bernstein": "finite",
        "confidence_sequence": "anytime", "betting": "anytime", **dict.fromkeys(BOOTSTRAPS, "asymptotic"),
    }  # fmt: skip
    assert all(r.low <= TWO_CONTEXTS.value <= r.high for r in found.values())
    bare = random_rounds(0, count=30)
    for method in sorted({*METHODS} - {*BOOTSTRAPS}):
        with pytest.raises(InputError, match=r"declared|planned-users"):
            evaluate(bare, methods=[method], replicates=50)
    with pytest.raises(InputError, match="choose among"):
        evaluate(bare, methods=["student"], replicates=50)


def test_estimators_are_chosen_by_name_and_keep_their_parameter():
    rounds = random_rounds(1, count=200)
    result = evaluate(rounds, estimators=["beta_ips", "clipped_ips@2", "dm"], replicates=50)
    assert [(r.estimator, r.method) for r in result.records] == [
        ("beta_ips", "student"),  # a bootstrap would need the products of features
        *(("clipped_ips", method) for method in ("student", "bootstrap_percentile")),
        *(("dm", method) for method in ("student", "bootstrap_percentile")),
    ]
    assert result.records[1].parameter == 2.0
    assert result.records[1].value == clipped_ips(rounds, 2.0).value


def test_without_predictions_doubly_robust_forms_are_said_to_be_skipped():
    rounds = random_rounds(1, q_hat=None, q_hat_target=None)
    result = evaluate(rounds, replicates=50)
    assert list(result.estimates) == ["ips", "snips"]
    skipped = [r.to_record() for r in result.records if r.note]
    assert [r["estimator"] for r in skipped] == ["dr", "sndr"]
    assert all(r["value"] is None and "q_hat" in r["note"] for r in skipped)
    assert "variance_ratio" in result.verdict.unavailable
    assert not any(s.rule == "mse_bound" for s in result.selections)


@pytest.mark.parametrize(
    "degenerate",
    [
        {"count": 1},
        {"target_probability": np.zeros((40, 1))},
        {"reward": np.zeros((40, 1))},
        {"cluster": np.zeros(40, dtype=int)},
        {"target_probability": np.eye(40)[:, :1]},
    ],
)
def test_degenerate_logs_end_in_records_without_nan(degenerate):
    rounds = random_rounds(2, **degenerate)
    result = evaluate(rounds, replicates=50, families=("clip", "switch", "os", "sg", "power"))
    text = json.dumps([r.to_record() for r in result.records] + [result.to_record()], allow_nan=False)
    assert "NaN" not in text
    assert result.verdict.grade == "no_support"


def test_seed_decides_everything_and_rows_may_come_in_any_order():
    g = np.random.default_rng(0)
    rounds = TWO_CONTEXTS.sample(400, g, cluster=g.integers(0, 60, 400), reward_range=(0.0, 1.0))
    first, again, other = (evaluate(rounds, seed=seed, replicates=100) for seed in (1, 1, 2))
    assert first.records == again.records
    assert first.curve.equals(again.curve)
    assert first.records[1].low != other.records[1].low
    order = g.permutation(400)
    given = {k: v[order] for k, v in columns_of(rounds).items() if v is not None}
    mixed = evaluate(Rounds.of(**given, reward_range=(0.0, 1.0)), seed=1, replicates=100)
    for a, b in zip(first.records[:4], mixed.records[:4], strict=True):
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), rel=1e-9)


def test_the_example_of_the_documentation_runs(tmp_path):
    root = Path(__file__).parents[2]
    files, arrays = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "ope.md").read_text(encoding="utf-8"), re.DOTALL
    )
    environment = os.environ | {"PYTHONPATH": str(root)}
    said = []
    for code in (files, arrays):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    assert said[0][0].split()[0] == said[1][-1].split()[0] in ("trust", "caution")
    rows = [line.split() for line in said[1][:-1]]
    by_arrays = {(row[0], row[1]): [float(number) for number in row[2:]] for row in rows}
    stored = json.loads((tmp_path / "report" / "estimates.json").read_text(encoding="utf-8"))["estimates"]
    for one in stored:
        for found in (one, *one["further"]):
            same = [one["value"], found["low"], found["high"]]
            assert by_arrays.pop((one["estimator"], found["interval"])) == pytest.approx(same, rel=1e-12)
    assert {estimator for estimator, _ in by_arrays} == {"dr", "sndr"}  # which need predictions


def test_further_intervals_are_those_of_their_names_and_told_what_was_declared():
    mask = np.arange(120).reshape(60, 2) % 6 != 1
    rounds = random_rounds(8, count=60, k=2, mask=mask, reward=np.random.default_rng(8).uniform(size=(60, 2)))
    rounds = replace(
        rounds, target_probability=rounds.target_probability / 9, q_hat=None, q_hat_target=None, reward_range=(0.0, 1.0)
    )
    mean = float(rounds.rewards.sum() / mask.sum())
    for largest in (None, 9.0):
        log = replace(rounds, max_weight=largest)
        value, interval = cressie_read(units_of(log), mean, 0.95, (0.0, 1.0), largest or np.inf)
        (found,) = [r for r in evaluate(log, replicates=50).records if r.method == "cressie_read"]
        assert (found.value, found.low, found.high) == pytest.approx((value, interval.low, interval.high))
    for method in ("truncated", "betting", "hoeffding", "empirical_bernstein"):
        records = evaluate(log, replicates=50, methods=(method,)).records
        assert {r.method for r in records} == {"student", "delta", "bootstrap_percentile", "none", method}


def test_a_clear_answer_does_not_change_along_the_curve_of_a_ratio():
    """Plain IPS falls to 0 with λ: judged by it, every good policy would seem to change its mind."""
    g = np.random.default_rng(9)
    good = g.random(2_000) < 0.5
    rounds = Rounds.of(good.astype(float), np.full(2_000, 0.5), np.where(good, 0.8, 0.2))
    assert "decision_changes" not in {failure.rule for failure in evaluate(rounds, replicates=50).verdict.failures}
