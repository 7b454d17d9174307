import numpy as np
import pytest

from evaluation import hold_out
from evaluation.segment_metrics import activity_segments, fold_small_groups, item_groups, item_table, segment_table
from tests.evaluation.builders import CUTOFF, catalogue, events, labels, lists


def test_a_row_a_group_largest_first():
    per_user = {"ndcg_at_20": np.array([1.0, 0.5, 0.0, np.nan])}
    table = segment_table(per_user, {"language": np.array(["pt", "en", "pt", "pt"])}, min_users=1)
    assert table.columns == ["slice", "group", "users", "ndcg_at_20"]
    # the third reader of pt has no number: the mean is of two
    assert table.rows() == [("language", "pt", 3, 0.5), ("language", "en", 1, 0.5)]


def test_small_groups_fold_into_other_and_hide_where_that_is_small():
    per_user = {"recall": np.arange(6.0)}
    regions = np.array(["SP", "SP", "TX", "MG", "SP", "RJ"])
    assert segment_table(per_user, {"region": regions}, min_users=3).rows() == [
        ("region", "SP", 3, pytest.approx(5 / 3)),
        ("region", "other", 3, pytest.approx(10 / 3)),
    ]
    assert segment_table(per_user, {"region": regions}, min_users=7).rows() == []


def test_what_is_hidden_cannot_be_worked_out_from_the_rest():
    # one user of TX beside three of SP and four of RJ: the mean of all less SP and RJ would be that user's
    regions = np.array(["SP"] * 3 + ["RJ"] * 4 + ["TX"])
    assert fold_small_groups(regions, 3).tolist() == ["other"] * 3 + ["RJ"] * 4 + ["other"]
    assert fold_small_groups(regions[:4], 3).tolist() == ["other"] * 4, "where it takes all users, there are no groups"


def test_one_long_region_does_not_make_all_regions_long():
    regions = np.array(["SP", "x" * 8020] * 500, dtype=object)
    assert fold_small_groups(regions, 3).nbytes == 1000 * 8
    assert fold_small_groups(regions, 501).tolist() == ["other"] * 1000
    assert fold_small_groups(np.array([], dtype=object), 3).tolist() == []


def test_a_group_that_is_called_other_is_one_with_the_small_ones():
    assert fold_small_groups(np.array(["other", "other", "SP", "SP", "TX"]), 2).tolist() == [
        "other",
        "other",
        "SP",
        "SP",
        "other",
    ]


def test_item_groups_in_which_few_users_have_labels_are_left_out():
    groups = {"new": np.array([False, False, True]), "older": np.array([True, True, False])}
    table = item_table(lists([2, 0], [0, 1]), labels({2: 1, 1: 1}, {0: 1, 1: 1}), groups, k=2, min_users=2)
    assert table["group"].to_list() == ["older"]
    assert item_table(lists([2, 0]), labels({2: 1}), groups, k=2).is_empty()


def test_unknown_groups_are_named_and_no_slice_is_an_empty_table():
    table = segment_table({"m": np.array([1.0])}, {"region": np.array([None], dtype=object)}, min_users=1)
    assert table["group"].to_list() == ["unknown"]
    assert segment_table({"m": np.array([1.0])}, {}).shape == (0, 4)


@pytest.fixture
def holdout():
    # user 0 came long ago and has two items; user 1 came this week and has one; both like item 3 next
    log = events([(0, 0, -60, 1), (0, 1, -1, 1), (1, 0, -2, 1), (0, 3, 1, 1), (1, 3, 2, 1)], users=2, items=5)
    return hold_out(log, catalogue([-90, -50, -50, -2, 3]), CUTOFF)


def test_users_by_tenure_and_history(holdout):
    slices = activity_segments(holdout, new_days=28, light_below=2)
    assert slices["tenure"].tolist() == ["known", "new"]
    assert slices["history"].tolist() == ["heavy", "light"]


def test_items_by_age_and_popularity(holdout):
    groups = item_groups(holdout, catalogue([-90, -50, -50, -2, 3]), new_days=7, head=0.25)
    assert {name: np.flatnonzero(mask).tolist() for name, mask in groups.items()} == {
        "new": [3],
        "older": [0, 1, 2],
        "popular": [0],
        "tail": [1, 2, 3],
    }


def test_recall_by_kind_of_item():
    groups = {"new": np.array([False, False, True]), "older": np.array([True, True, False])}
    table = item_table(lists([2, 0], [0, 1]), labels({2: 1, 1: 1}, {0: 1, 1: 1}), groups, k=2, min_users=1)
    # new: found; older: none of one, and two of two
    assert table.rows() == [("new", 1, 1, 1.0), ("older", 3, 2, 0.5)]
