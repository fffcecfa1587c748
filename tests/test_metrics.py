"""Metrics against PyG and scikit-learn, and their invariants."""

import math

import pytest
import torch
from sklearn.metrics import ndcg_score
from torch_geometric.metrics import LinkPredHitRatio, LinkPredNDCG, LinkPredPrecision, LinkPredRecall

from rlrec import metrics
from rlrec.ops.masking import masked_mean

USERS, ITEMS, LENGTH = 40, 31, 7
ACCURACY = {
    metrics.recall: LinkPredRecall,
    metrics.precision: LinkPredPrecision,
    metrics.hit_ratio: LinkPredHitRatio,
    metrics.ndcg: LinkPredNDCG,
}


@pytest.fixture
def relevant() -> torch.Tensor:
    table = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(0)) < 0.15
    table[:, 0] = False
    table[:3] = False
    return table


@pytest.fixture
def scores() -> torch.Tensor:
    drawn = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(1))
    drawn[:, 0] = -1
    return drawn


@pytest.fixture
def ranked(scores) -> torch.Tensor:
    return scores.topk(LENGTH, dim=1).indices


@pytest.fixture
def eligible() -> torch.Tensor:
    return torch.arange(ITEMS) > 0


def padded(relevant: torch.Tensor) -> torch.Tensor:
    ids = torch.where(relevant, torch.arange(ITEMS), 0).sort(descending=True).values
    return ids[:, : int(relevant.sum(1).max())]


@pytest.mark.parametrize("metric", ACCURACY, ids=lambda metric: metric.__name__)
def test_accuracy_equals_pyg(metric, ranked, relevant):
    peer = ACCURACY[metric](k=LENGTH)
    peer.update(ranked, relevant.nonzero().T)
    ours = masked_mean(metric(ranked, relevant), metrics.counted(relevant))
    assert ours.item() == pytest.approx(peer.compute().item(), rel=1e-5)


def test_ndcg_equals_sklearn(scores, ranked, relevant):
    some = metrics.counted(relevant)
    peer = ndcg_score(relevant[some, 1:].numpy(), scores[some, 1:].numpy(), k=LENGTH)
    assert masked_mean(metrics.ndcg(ranked, relevant), some).item() == pytest.approx(peer, rel=1e-5)


@pytest.mark.parametrize("metric", ACCURACY, ids=lambda metric: metric.__name__)
def test_padded_ids_equal_a_table(metric, ranked, relevant):
    assert torch.equal(metric(ranked, relevant), metric(ranked, padded(relevant)))


@pytest.mark.parametrize("metric", ACCURACY, ids=lambda metric: metric.__name__)
def test_mask_excludes_users_and_padding_never_hits(metric, ranked, relevant):
    mask = torch.arange(USERS) % 2 == 0
    masked = metric(ranked, relevant, mask=mask)
    assert torch.equal(masked[mask], metric(ranked, relevant)[mask])
    assert masked[~mask].count_nonzero() == 0
    assert metric(torch.zeros_like(ranked), torch.ones_like(relevant)).count_nonzero() == 0
    assert not metrics.counted(relevant, mask)[:3].any()


@pytest.mark.parametrize("metric", ACCURACY, ids=lambda metric: metric.__name__)
def test_accuracy_lies_in_0_1_and_follows_its_user(metric, ranked, relevant):
    values = metric(ranked, relevant)
    order = torch.randperm(USERS, generator=torch.Generator().manual_seed(3))
    assert ((values >= 0) & (values <= 1)).all()
    assert torch.equal(metric(ranked[order], relevant[order]), values[order])


def test_perfect_list_scores_1(relevant):
    best = relevant.float().topk(LENGTH, dim=1).indices
    some = metrics.counted(relevant)
    assert metrics.ndcg(best, relevant)[some].tolist() == pytest.approx([1.0] * int(some.sum()))


def test_ndcg_by_hand():
    relevant = torch.tensor([[False, True, False, True, True]])
    value = metrics.ndcg(torch.tensor([[2, 3]]), relevant).item()
    assert value == pytest.approx((1 / math.log2(3)) / (1 / math.log2(2) + 1 / math.log2(3)))


def test_gini_ends(eligible):
    everything = torch.arange(1, ITEMS)[:, None]
    one = torch.full((USERS, 1), 5)
    number = ITEMS - 1
    assert metrics.gini(everything, eligible).item() == pytest.approx(0, abs=1e-7)
    assert metrics.gini(one, eligible).item() == pytest.approx((number - 1) / number)
    assert metrics.gini(torch.zeros(2, 3, dtype=torch.long), eligible).item() == 0


def test_gini_is_the_mean_difference(ranked, eligible):
    exposure = torch.bincount(ranked.flatten(), minlength=ITEMS)[1:].double()
    spread = (exposure[:, None] - exposure[None]).abs().mean() / (2 * exposure.mean())
    assert metrics.gini(ranked, eligible).item() == pytest.approx(spread.item())


def test_coverage_counts_distinct_eligible_items(ranked, eligible):
    assert metrics.coverage(ranked, eligible).item() == pytest.approx(len(ranked.unique()) / (ITEMS - 1))
    few = ranked[:2]
    assert metrics.coverage(few, eligible).item() <= few.numel() / (ITEMS - 1)
    half = eligible & (torch.arange(ITEMS) <= 15)
    assert metrics.coverage(ranked, half).item() <= 1


def test_most_popular_has_the_largest_popularity(ranked, eligible):
    counts = torch.randint(0, 50, (ITEMS,), generator=torch.Generator().manual_seed(4)).float()
    counts[0] = 0
    most = counts.topk(LENGTH).indices.expand(USERS, -1)
    assert (metrics.average_popularity(most, counts) >= metrics.average_popularity(ranked, counts)).all()
    assert metrics.average_popularity(ranked, counts)[0].item() == pytest.approx(counts[ranked[0]].mean().item())


def test_tail_is_what_the_head_leaves(ranked, eligible):
    counts = torch.tensor([0.0, 50, 20, 15, 10, 5, 0])
    tail = metrics.tail_items(counts, torch.arange(7) > 0, head_share=0.8)
    assert tail.tolist() == [False, False, False, False, True, True, True]
    many = torch.randint(0, 50, (ITEMS,), generator=torch.Generator().manual_seed(4)).float()
    many[0] = 0
    long_tail = metrics.tail_items(many, eligible)
    head = eligible & ~long_tail
    assert many[head].sum() >= metrics.HEAD_SHARE * many.sum()
    assert many[head].sum() - many[head].min() < metrics.HEAD_SHARE * many.sum()
    together = metrics.tail_share(ranked, long_tail) + metrics.tail_share(ranked, head)
    assert together.tolist() == pytest.approx([1.0] * USERS)


def test_novelty_is_self_information():
    counts = torch.tensor([0.0, 6, 2, 0])
    value = metrics.novelty(torch.tensor([[1, 2, 0], [3, 0, 0]]), counts)
    assert value.tolist() == pytest.approx([(-math.log2(6 / 8) - math.log2(2 / 8)) / 2, -math.log2(1 / 8)])


def test_diversity_of_duplicates_is_0_and_of_opposites_2(ranked):
    vectors = torch.tensor([[0.0, 0], [1, 0], [2, 0], [-1, 0], [0, 3]])
    lists = torch.tensor([[1, 2, 0], [1, 3, 0], [1, 4, 0], [1, 0, 0]])
    assert metrics.intra_list_diversity(lists, vectors).tolist() == pytest.approx([0, 2, 1, 0])
    drawn = torch.randn(ITEMS, 5, generator=torch.Generator().manual_seed(5))
    cosine = torch.nn.functional.cosine_similarity(drawn[ranked[0]][:, None], drawn[ranked[0]][None], dim=-1)
    upper = torch.triu_indices(LENGTH, LENGTH, offset=1)
    expected = (1 - cosine[upper[0], upper[1]]).mean().item()
    assert metrics.intra_list_diversity(ranked, drawn)[0].item() == pytest.approx(expected, rel=1e-5)


def test_list_figures_obey_the_mask(ranked):
    mask = torch.arange(USERS) < 4
    counts, vectors = torch.arange(ITEMS).float(), torch.randn(ITEMS, 3)
    for values in (
        metrics.average_popularity(ranked, counts, mask=mask),
        metrics.novelty(ranked, counts, mask=mask),
        metrics.tail_share(ranked, counts < 9, mask=mask),
        metrics.intra_list_diversity(ranked, vectors, mask=mask),
    ):
        assert values[~mask].count_nonzero() == 0
