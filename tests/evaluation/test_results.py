import math
from dataclasses import replace

import numpy as np
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import RankedLists, hold_out, item_sets, macro_average, measure
from evaluation.rankings import Labels
from evaluation.results import full_ranking, overlap_metrics
from tests.evaluation.builders import CUTOFF, catalogue, events, lists, measured

ITEMS = catalogue([-9, -9, -9])


def test_measures_every_metric_on_one_holdout():
    log = events([(0, 0, -1, 1), (0, 2, 1, 1)], users=1, items=3)
    vectors = np.eye(3, dtype=np.float32)
    metrics = measure(
        "final", lists([1, 2]), hold_out(log, ITEMS, CUTOFF), ITEMS, k=2, recall_ks=[1], item_vectors=vectors
    )
    assert metrics.users == 1
    assert metrics.means == pytest.approx(
        {
            "ndcg_at_2": 1 / math.log2(3),
            "recall_at_2": 1,
            "hit_rate_at_2": 1,
            "mrr_at_2": 0.5,
            "recall_at_1": 0,
            "top_creator_share_at_2": 0.5,
            "intra_list_distance_at_2": 1,
            "coverage_at_2": 2 / 3,
            "creator_coverage_at_2": 2 / 3,
        }
    )
    assert metrics.per_user["mrr_at_2"].tolist() == [0.5]


def test_lists_of_several_users_are_compared_and_one_list_is_not():
    assert overlap_metrics(lists([0, 1], [0, 2])) == {"inter_user_overlap_at_10": 0.5, "top4_first_share": 1}
    assert overlap_metrics(lists([0, 1], [-1, -1])) == {}


def test_a_week_of_one_user_lacks_the_overlap_and_does_not_break_the_mean():
    weeks = [measured("final", [1.0]), measured("final", [0.0, 0.5], inter_user_overlap_at_10=0.4)]
    for order in (weeks, weeks[::-1]):
        assert macro_average(order).means["inter_user_overlap_at_10"] == 0.4


def test_metrics_that_the_catalogue_lacks_columns_for_are_left_out():
    log = events([(0, 0, -1, 1), (0, 2, 1, 1)], users=1, items=3)
    unsigned = replace(ITEMS, creators=np.full(3, -1, dtype=np.int32))
    nothing = np.zeros((3, 4), dtype=np.float32)
    metrics = measure("final", lists([1, 2]), hold_out(log, unsigned, CUTOFF), unsigned, k=2, item_vectors=nothing)
    assert not [metric for metric in metrics.means if "creator" in metric or "distance" in metric]
    assert all(math.isfinite(value) for value in metrics.means.values())


def test_weeks_count_the_same():
    both = macro_average([measured("final", [1.0]), measured("final", [0.0, 0.5])])
    assert both.means["ndcg_at_20"] == pytest.approx((1 + 0.25) / 2)
    assert both.users == 3
    assert both.per_user["ndcg_at_20"].tolist() == [1, 0, 0.5]


def test_no_week_and_unlike_methods_are_errors():
    with pytest.raises(BadEvaluationInput, match="no week was measured"):
        macro_average([])
    with pytest.raises(BadEvaluationInput, match=r"weeks of different methods \(a, b\)"):
        macro_average([measured("a", [1.0]), measured("b", [1.0])])


def labels(*items: list[int]) -> Labels:
    owners = np.repeat(np.arange(len(items), dtype=np.int32), [len(own) for own in items])
    sets = item_sets(owners, np.array([item for own in items for item in own], dtype=np.int32), len(items))
    return Labels(sets.offsets, sets.item_rows, np.ones(len(sets.item_rows), np.float32))


def test_full_ranking_by_hand() -> None:
    # three users, five items; the second finds nothing, the third's label 7 is outside the catalogue
    lists = RankedLists(np.array([[0, 1, 2], [0, 1, 2], [3, 0, -1]], dtype=np.int32))
    means = full_ranking("hand", lists, labels([1, 4], [3], [3, 7]), 3, item_count=5).means
    assert means["recall_at_3"] == pytest.approx((1 / 2 + 0 + 1 / 2) / 3)
    assert means["hit_rate_at_3"] == pytest.approx(2 / 3)
    assert means["mrr_at_3"] == pytest.approx((1 / 2 + 0 + 1) / 3)
    ideal = 1 + 1 / math.log2(3)  # both labels on the first two places
    assert means["ndcg_at_3"] == pytest.approx((1 / math.log2(3) / ideal + 0 + 1 / ideal) / 3)
    assert means["coverage_at_3"] == 4 / 5


def naive(rows: list[int], own: set[int], k: int) -> dict[str, float]:
    """The definitions once more, one user at a time and with other means."""
    hits = [rank for rank, item in enumerate(rows[:k], start=1) if item in own]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(own)) + 1))
    return {
        f"recall_at_{k}": len(hits) / len(own),
        f"ndcg_at_{k}": sum(1 / math.log2(rank + 1) for rank in hits) / ideal,
        f"hit_rate_at_{k}": float(bool(hits)),
        f"mrr_at_{k}": 1 / hits[0] if hits else 0.0,
    }


@pytest.fixture
def random_lists() -> tuple[np.ndarray, list[set[int]]]:
    """Three hundred users, lists of twenty out of sixty items, one to twelve labels each."""
    random = np.random.default_rng(7)
    rows = np.stack([random.permutation(60)[:20] for _ in range(300)]).astype(np.int32)
    return rows, [{int(item) for item in random.permutation(60)[: random.integers(1, 13)]} for _ in range(300)]


@pytest.mark.parametrize("k", [1, 5, 20])
def test_every_user_agrees_with_the_definitions(random_lists: tuple[np.ndarray, list[set[int]]], k: int) -> None:
    rows, own = random_lists
    ours_of = full_ranking("ours", RankedLists(rows), labels(*map(sorted, own)), k, item_count=60)
    theirs = [naive(each.tolist(), items, k) for each, items in zip(rows, own, strict=True)]
    for metric, values in ours_of.per_user.items():
        np.testing.assert_allclose(values, [each[metric] for each in theirs], rtol=1e-12, err_msg=metric)


@pytest.mark.filterwarnings("ignore")  # of the libraries that ranx brings
@pytest.mark.parametrize("k", [5, 20])
def test_every_user_agrees_with_ranx(random_lists: tuple[np.ndarray, list[set[int]]], k: int) -> None:
    ranx = pytest.importorskip("ranx", reason="an independent implementation: pip install ranx")
    rows, own = random_lists
    run = ranx.Run({f"u{u}": {f"i{i}": 1 / (1 + place) for place, i in enumerate(row)} for u, row in enumerate(rows)})
    qrels = ranx.Qrels({f"u{user}": {f"i{item}": 1 for item in items} for user, items in enumerate(own)})
    theirs = {"recall": "recall", "ndcg": "ndcg", "hit_rate": "hit_rate", "mrr": "mrr"}
    ranx.evaluate(qrels, run, [f"{metric}@{k}" for metric in theirs.values()])
    ours_of = full_ranking("ours", RankedLists(rows), labels(*map(sorted, own)), k, item_count=60)
    for ours, metric in theirs.items():
        scores = run.scores[f"{metric}@{k}"]
        by_user = [scores[f"u{user}"] for user in range(len(rows))]
        np.testing.assert_allclose(ours_of.per_user[f"{ours}_at_{k}"], by_user, rtol=1e-6, err_msg=metric)
