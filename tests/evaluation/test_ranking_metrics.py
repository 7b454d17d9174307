import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from evaluation import RankedLists, item_sets, ranking_metrics
from tests.evaluation.builders import labels, lists

LOG3 = math.log2(3)
# the user likes items 1 and 3, and is shown 3 in the second place
LISTS, LABELS = lists([0, 3, 2]), labels({1: 1, 3: 2})


def test_ndcg_by_hand():
    # found in place 2: 1 / log2(3); the best list has both first: 1 + 1 / log2(3)
    assert ranking_metrics.ndcg_at_k(LISTS, LABELS, 3) == pytest.approx([(1 / LOG3) / (1 + 1 / LOG3)])


def test_graded_ndcg_by_hand():
    assert ranking_metrics.ndcg_at_k(LISTS, LABELS, 3, graded=True) == pytest.approx([(2 / LOG3) / (2 + 1 / LOG3)])


def test_the_best_list_of_k_has_ndcg_one_though_k_cannot_hold_all_labels():
    many = labels({0: 1, 1: 1, 2: 1})
    assert ranking_metrics.ndcg_at_k(lists([2, 0]), many, 2) == pytest.approx([1])
    assert ranking_metrics.recall_at_k(lists([2, 0]), many, 2) == pytest.approx([2 / 3])


def test_the_recall_of_sets_is_the_share_of_labels_in_them():
    sets = item_sets(np.array([2, 0, 0], np.int32), np.array([1, 3, 0], np.int32), 3)
    assert ranking_metrics.recall_of_sets(sets, labels({1: 1, 3: 2}, {1: 1}, {1: 1})).tolist() == [0.5, 0, 1]
    assert math.isnan(ranking_metrics.recall_of_sets(sets, labels({}, {1: 1}, {1: 1}))[0])


def test_recall_hit_rate_and_mrr_by_hand():
    assert ranking_metrics.recall_at_k(LISTS, LABELS, 3).tolist() == [0.5]
    assert ranking_metrics.hit_rate_at_k(LISTS, LABELS, 3).tolist() == [1]
    assert ranking_metrics.mrr_at_k(LISTS, LABELS, 3).tolist() == [0.5]


def test_nothing_below_place_k_counts():
    for metric in (
        ranking_metrics.ndcg_at_k,
        ranking_metrics.recall_at_k,
        ranking_metrics.hit_rate_at_k,
        ranking_metrics.mrr_at_k,
    ):
        assert metric(LISTS, LABELS, 1).tolist() == [0]


def test_users_without_labels_are_nan_and_left_out_of_the_mean():
    two = labels({3: 1}, {})
    for metric in (
        ranking_metrics.ndcg_at_k,
        ranking_metrics.recall_at_k,
        ranking_metrics.hit_rate_at_k,
        ranking_metrics.mrr_at_k,
    ):
        values = metric(lists([3], [3]), two, 1)
        assert values[0] == 1
        assert math.isnan(values[1])
        assert ranking_metrics.mean(values) == 1
    assert math.isnan(ranking_metrics.mean(np.array([np.nan])))
    assert math.isnan(ranking_metrics.mean(np.zeros(0)))


def test_no_users_at_all():
    empty = RankedLists(np.zeros((0, 3), dtype=np.int32))
    assert ranking_metrics.ndcg_at_k(empty, labels(), 3).shape == (0,)
    assert ranking_metrics.intra_list_distance_at_k(empty, np.ones((2, 2)), 3).shape == (0,)


def test_overlap_by_hand():
    # of three pairs of users, one shares both items and two share item 0: 4 of 6 places
    three = lists([0, 1, 7], [1, 0, 8], [0, 2, 9])
    assert ranking_metrics.inter_user_overlap_at_k(three, 2) == pytest.approx((2 + 1 + 1) / 6)
    assert ranking_metrics.inter_user_overlap_at_k(lists([0, 1], [1, 0]), 2) == 1
    assert ranking_metrics.inter_user_overlap_at_k(lists([0, 1], [2, 3]), 2) == 0


def test_users_without_a_list_do_not_make_lists_differ():
    assert ranking_metrics.inter_user_overlap_at_k(lists([0, 1], [1, 0], [-1, -1]), 2) == 1
    assert math.isnan(ranking_metrics.inter_user_overlap_at_k(lists([0, 1], [-1, -1]), 2))
    assert math.isnan(ranking_metrics.top_first_share(lists([-1, -1]), 4))


def test_a_catalogue_below_k_can_overlap_in_whole():
    assert ranking_metrics.inter_user_overlap_at_k(lists([0, 1, -1], [1, 0, -1]), 3) == 1


def test_overlap_agrees_with_a_loop_over_pairs():
    rows, _ = random_case(users=30)
    pairs = [len(set(a) & set(b)) / 10 for place, a in enumerate(rows) for b in rows[:place]]
    assert ranking_metrics.inter_user_overlap_at_k(RankedLists(rows), 10) == pytest.approx(np.mean(pairs))


def test_share_of_first_places_by_hand():
    first = lists([0, 5], [0, 5], [0, 5], [1, 0], [1, 0], [2, 0])
    assert ranking_metrics.top_first_share(first, 1) == 3 / 6
    assert ranking_metrics.top_first_share(first, 2) == 5 / 6
    assert ranking_metrics.top_first_share(first, 4) == 1


def random_case(users=60, items=40, k=10, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.argsort(rng.random((users, items)), axis=1)[:, :k].astype(np.int32)
    liked = [rng.choice(items, rng.integers(1, 15), replace=False).tolist() for _ in rows]
    wanted = [{item: int(rng.integers(1, 3)) for item in mine} for mine in liked]
    return rows, wanted


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("k", [1, 5, 10])
def test_ndcg_agrees_with_scikit_learn(graded, k):
    rows, wanted = random_case()
    truth, scores = np.zeros((60, 40)), np.zeros((60, 40))
    for user, gains in enumerate(wanted):
        truth[user, list(gains)] = list(gains.values()) if graded else 1
        scores[user, rows[user]] = np.arange(10, 0, -1)
    ours = ranking_metrics.ndcg_at_k(lists(*rows), labels(*wanted), k, graded=graded)
    theirs = [ndcg_score(truth[[user]], scores[[user]], k=k) for user in range(60)]
    assert ours == pytest.approx(theirs, abs=1e-12)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_others_agree_with_a_slow_loop(k):
    rows, wanted = random_case(seed=1)
    for user, gains in enumerate(wanted):
        hits = [place for place, item in enumerate(rows[user][:k]) if int(item) in gains]
        one, own = lists(rows[user]), labels(gains)
        assert ranking_metrics.recall_at_k(one, own, k)[0] == pytest.approx(len(hits) / len(gains))
        assert ranking_metrics.mrr_at_k(one, own, k)[0] == (1 / (hits[0] + 1) if hits else 0)


def test_catalogue_coverage_counts_distinct_items_of_those_that_can_be_shown():
    # items 0 and 1 are shown of the four rankable ones
    rankable = np.array([True, True, True, True, False])
    assert ranking_metrics.catalogue_coverage_at_k(lists([0, 1], [1, -1]), rankable, 2) == 0.5
    assert math.isnan(ranking_metrics.catalogue_coverage_at_k(lists([-1]), np.zeros(5, dtype=bool), 1))


def test_creator_coverage_counts_creators_and_no_unknown_one():
    creators = np.array([7, 7, 8, -1], dtype=np.int32)
    assert ranking_metrics.creator_coverage_at_k(lists([0, 1, 3]), creators, np.ones(4, dtype=bool), 3) == 0.5


def test_top_creator_share_and_unknown_creators_stand_alone():
    creators = np.array([7, 7, 8, -1, -1], dtype=np.int32)
    shares = ranking_metrics.top_creator_share_at_k(lists([0, 1, 2, -1], [3, 4, 2, 0], [-1, -1, -1, -1]), creators, 4)
    assert shares[:2].tolist() == [2 / 3, 1 / 4]
    assert math.isnan(shares[2])


def test_intra_list_distance_by_hand():
    east, north, zero = [2, 0], [0, 5], [0, 0]
    vectors = np.array([east, north, zero, east])
    # east-north 1, east-east 0, north-east 1: mean 2/3; the zero vector and the padding count as no item
    values = ranking_metrics.intra_list_distance_at_k(lists([0, 1, 3, 2], [0, 1, -1, -1], [0, -1, -1, -1]), vectors, 4)
    assert values[:2] == pytest.approx([2 / 3, 1])
    assert math.isnan(values[2])


def test_intra_list_distance_agrees_with_a_slow_loop_over_chunks(monkeypatch):
    monkeypatch.setattr(ranking_metrics, "CHUNK_USERS", 7)
    rows, _ = random_case(seed=2)
    vectors = np.random.default_rng(3).normal(size=(40, 6))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    slow = [np.mean([1 - unit[a] @ unit[b] for n, a in enumerate(row) for b in row[:n]]) for row in rows]
    assert ranking_metrics.intra_list_distance_at_k(lists(*rows), vectors, 10) == pytest.approx(slow)
