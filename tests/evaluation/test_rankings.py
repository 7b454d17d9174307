import re

import numpy as np
import pytest

from contracts.errors import BadEvaluationInput
from evaluation import ItemSets, Labels, RankedLists, item_sets
from tests.evaluation.builders import labels, lists


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros(3, dtype=np.int32), "lists have shape (3,); give [users, places]"),
        (np.zeros((1, 1), dtype=np.int64), "lists hold int64; give int32 item rows"),
        (np.array([[-2]], dtype=np.int32), "lists hold item row -2; use -1 for an empty place"),
        (np.array([[-1, 4]], dtype=np.int32), "1 lists have an empty place before an item; pad at the end"),
        (np.array([[4, 7, 4]], dtype=np.int32), "1 lists hold an item twice; keep its best place"),
    ],
)
def test_refuses_what_no_metric_can_measure(rows, message):
    with pytest.raises(BadEvaluationInput, match=re.escape(message)):
        RankedLists(rows)


def test_padding_may_repeat_and_lists_may_be_empty():
    assert lists([3, -1, -1]).filled.tolist() == [[True, False, False]]
    assert RankedLists(np.zeros((0, 5), dtype=np.int32)).top(2).rows.shape == (0, 2)


def test_top_beyond_the_list_is_the_list_and_below_one_an_error():
    assert lists([3, 1]).top(9).rows.tolist() == [[3, 1]]
    with pytest.raises(BadEvaluationInput, match="k is 0; use at least 1"):
        lists([3, 1]).top(0)


def test_item_sets_from_pairs_in_any_order():
    sets = item_sets(np.array([2, 0, 2, 2], dtype=np.int32), np.array([5, 1, 3, 5], dtype=np.int32), users=4)
    assert sets.offsets.tolist() == [0, 1, 1, 3, 3]
    assert sets.item_rows.tolist() == [1, 3, 5]
    assert sets.owners.tolist() == [0, 2, 2]
    taken = sets.take(np.array([3, 2, 0], dtype=np.int32))
    assert (taken.offsets.tolist(), taken.item_rows.tolist()) == ([0, 0, 2, 3], [3, 5, 1])


@pytest.mark.parametrize(
    ("offsets", "items", "message"),
    [
        ([0, 3], [1, 2], "offsets must rise from 0 to 2"),
        ([0, 2, 1, 2], [1, 2], "offsets must rise from 0 to 2"),
        ([], [], "offsets have shape (0,); give [users + 1]"),
        ([0, 2], [1, 1], "a set holds an item twice; keep one"),
        ([0, 1], [-1], "sets hold a negative item row"),
    ],
)
def test_refuses_broken_sets(offsets, items, message):
    with pytest.raises(BadEvaluationInput, match=re.escape(message)):
        ItemSets(np.array(offsets, dtype=np.int64), np.array(items, dtype=np.int32))


def test_refuses_gains_that_are_not_one_positive_number_an_item():
    with pytest.raises(BadEvaluationInput, match="1 gains for 2 labels; give one each"):
        Labels(np.array([0, 2]), np.array([1, 2], dtype=np.int32), np.array([1.0], dtype=np.float32))
    with pytest.raises(BadEvaluationInput, match="gains above zero"):
        labels({1: 0})


def test_found_reads_each_users_own_labels():
    # item 5 is a label of the second user alone; -1 is no item
    wanted = labels({9: 2, 4: 1}, {5: 1}, {})
    counts = wanted.found(lists([4, 5, 9], [5, 4, -1], [4, 5, 9]))
    assert counts.tolist() == [[1, 0, 2], [1, 0, 0], [0, 0, 0]]


def test_found_without_any_label_and_with_the_wrong_number_of_lists():
    assert labels({}, {}).found(lists([1], [2])).tolist() == [[0], [0]]
    with pytest.raises(BadEvaluationInput, match="1 lists for 2 labelled users"):
        labels({1: 1}, {1: 1}).found(lists([1]))


def test_only_keeps_the_labels_of_a_part_of_the_catalogue():
    part = labels({0: 1, 2: 2}, {1: 1}, {2: 1}).only(np.array([False, False, True]))
    assert (part.offsets.tolist(), part.item_rows.tolist(), part.gains.tolist()) == ([0, 1, 1, 2], [2, 2], [2, 1])
