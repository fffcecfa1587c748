"""TARGETS of policies over a log: how likely each was to show what was shown, whatever ids are called."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from rlrec.batches import Contexts
from rlrec.encoders.candidate_scorer import CandidateScorer
from rlrec.errors import InputError
from rlrec.ops.slates import discounts
from tasks import served, targets
from tasks.estimates import estimate_from_parquet
from tasks.served import Served
from tasks.targets import known_to_all, read_log, write_targets

USERS, SIZE, K, PREFIXES = 6, 5, 3, 200
ITEMS = ["", *(f"film {number}" for number in range(1, 9))]


@pytest.fixture(scope="module")
def policy() -> Served:
    """Candidates 1 to 5 for everybody, of drawn scores."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(USERS, SIZE, generator=generator)
    candidates = torch.arange(1, SIZE + 1).expand(USERS, -1).contiguous()
    contexts = Contexts(torch.arange(1, USERS + 1), candidates, base, torch.zeros(USERS, SIZE, 2))
    names = ["", *(f"user {number}" for number in range(1, USERS + 1))]
    actor = CandidateScorer(2, 4, 1, generator)
    return Served("one/1", actor, 0.5, contexts, torch.rand(USERS, SIZE, generator=generator), names, ITEMS)


@pytest.fixture
def every(tmp_path):
    """Each user was shown each item at each position, one row a request."""
    shape = [(user, position, item) for user in range(1, USERS + 1) for position in range(K) for item in range(1, 9)]
    user, position, item = (np.array(column) for column in zip(*shape, strict=True))
    frame = pl.DataFrame(
        {
            "event_id": np.arange(len(shape)), "request_id": np.arange(len(shape)),
            "user_id": [f"user {number}" for number in user], "action": [ITEMS[number] for number in item],
            "position": position + 1, "reward": (item % 2).astype(float), "propensity": np.full(len(shape), 0.125),
        }
    )  # fmt: skip
    frame.sample(fraction=1.0, shuffle=True, seed=0).write_parquet(tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


def of(log, *policies: Served) -> pl.DataFrame:
    file = log.file.with_name("targets.parquet")
    write_targets(log, policies, PREFIXES, 0, file)
    return pl.read_parquet(file).sort("target_policy", "event")


def test_candidates_share_each_position_and_others_have_nothing(every, policy):
    rows = of(read_log(every), policy).join(pl.read_parquet(every), left_on="event", right_on="event_id").sort("event")
    shares = rows["target_probability"].to_numpy().reshape(USERS, K, 8)
    assert shares.sum(axis=2) == pytest.approx(np.ones((USERS, K)), abs=1e-6)
    assert not shares[:, :, SIZE:].any()
    first = torch.softmax(policy.contexts.base / policy.temperature, dim=1)
    assert shares[:, 0, :SIZE] == pytest.approx(first.numpy(), abs=1e-6)
    theta = discounts(K).numpy()
    q_hat = rows["q_hat"].to_numpy().reshape(USERS, K, 8)[:, :, :SIZE]
    assert q_hat == pytest.approx(policy.q_hat.numpy()[:, None] * theta[:, None], abs=1e-6)
    means = rows["q_hat_target"].to_numpy().reshape(USERS, K, 8)
    assert means == pytest.approx(
        np.repeat((shares[:, :, :SIZE] * q_hat).sum(axis=2, keepdims=True), 8, axis=2), abs=1e-6
    )


def test_batches_do_not_matter(every, policy, monkeypatch):
    whole = of(read_log(every), policy)
    monkeypatch.setattr(targets, "BATCH_USERS", 4)
    monkeypatch.setattr(targets, "BATCH_ROWS", 2 * K * 8)
    assert [len(part) for part in targets.batches(read_log(every).users())] == [2, 2, 2]
    assert of(read_log(every), policy).equals(whole)


def test_ids_may_be_ours_where_a_vocabulary_names_them(every, policy, tmp_path):
    expected = of(read_log(every), policy)
    log = pl.read_parquet(every)
    dense = log.select(
        event="event_id", request="request_id", user=pl.col("user_id").str.slice(5).cast(pl.Int32),
        item=pl.col("action").str.slice(5).cast(pl.Int32), position=pl.col("position") - 1,
    )  # fmt: skip
    dense.write_parquet(tmp_path / "dense.parquet")
    with pytest.raises(InputError, match="--vocabulary"):
        read_log(tmp_path / "dense.parquet")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    names = [("user", f"user {n}", n) for n in range(1, USERS + 1)] + [("item", ITEMS[n], n) for n in range(1, 9)]
    pl.DataFrame(names, schema={"kind": pl.String, "external": pl.String, "id": pl.Int32}, orient="row").write_parquet(
        corpus / "vocabulary.parquet"
    )
    assert of(read_log(tmp_path / "dense.parquet", corpus), policy).equals(expected)
    dense.write_parquet(corpus / "logged_slates.parquet")
    assert of(read_log(corpus), policy).equals(expected)


def test_who_is_unknown_is_told_and_left_out_only_where_asked(every, policy, tmp_path):
    fewer = replace(
        policy, name="two/1", users=[name if n > 2 else f"nobody {n}" for n, name in enumerate(policy.users)]
    )
    log = read_log(every)
    with pytest.raises(InputError, match=r"(?s)2 of 6 users.*user 1, user 2.*--leave-out-unknown") as refused:
        known_to_all(log, [policy, fewer], tmp_path, leave_out=False)
    assert refused.value.rows == 2 * K * 8
    left, notes = known_to_all(log, [policy, fewer], tmp_path, leave_out=True)
    assert notes == ["2 users unknown to a policy were left out, with 33.3% of the rows"]
    assert set(pl.read_parquet(left.file)["event"]) == set(of(left, policy)["event"])
    assert pl.read_parquet(left.file)["user"].n_unique() == 4
    assert known_to_all(log, [policy], tmp_path, leave_out=False) == (log, [])
    with pytest.raises(InputError, match="6 of 6"):
        known_to_all(log, [replace(policy, users=["x"] * 7)], tmp_path, leave_out=True)


def test_a_version_without_a_model_is_judged_without_dr(every, policy, tmp_path):
    bare = replace(policy, name="bare/1", q_hat=None)
    assert "no predictions" in bare.note
    log = read_log(every)
    assert of(log, policy, bare)["q_hat"].null_count() == USERS * K * 8
    records = estimate_from_parquet(
        log.file, log.file.with_name("targets.parquet"), tmp_path / "out", reference="one/1"
    )
    skipped = {(row["target_policy"], row["estimator"]) for row in records if row["note"]}
    assert {("bare/1", "dr"), ("bare/1", "sndr")} <= skipped
    assert ("one/1", "dr") not in skipped
    assert list(json.loads((tmp_path / "out" / "decision.json").read_text())) == ["bare/1"]


def test_a_version_of_an_earlier_layout_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(served, "fetch", lambda model, scratch: (model, scratch))
    with pytest.raises(InputError, match=r"one/1 carries no contexts of serving"):
        Served.of("one/1", "serving", tmp_path)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (pl.col("position") + 1, "count from 0 or 1"),
        (pl.lit(None, pl.String).alias("user_id"), "no event, user, item or position"),
    ],
)
def test_a_log_that_does_not_say_who_saw_what_where_is_refused(every, change, match):
    pl.read_parquet(every).with_columns(change).write_parquet(every)
    with pytest.raises(InputError, match=match):
        read_log(every)
    whole = pl.read_parquet(every)
    whole.with_columns(request_id=pl.lit(1)).drop("position").write_parquet(every)
    with pytest.raises(InputError, match="lists without positions"):
        read_log(every)
    whole.drop("action").write_parquet(every)
    with pytest.raises(InputError, match="item"):
        read_log(every)


def test_lists_longer_than_the_candidate_sets_are_refused(every, policy):
    pl.read_parquet(every).with_columns(position=pl.col("event_id") + 1).write_parquet(every)
    with pytest.raises(InputError, match="144 positions, but one/1 chooses among 5 items"):
        of(read_log(every), policy)
