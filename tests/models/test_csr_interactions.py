"""The one type for who interacted with what."""

import numpy as np

from tests.models.tiny_interactions import interactions_of, of


def test_each_user_s_order_is_kept() -> None:
    interactions = interactions_of(np.array([1, 0, 1, 1]), np.array([2, 0, 1, 2]), users=3, items=3)
    assert interactions.offsets.tolist() == [0, 1, 4, 4]  # user 2 has none
    assert interactions.items.tolist() == [0, 2, 1, 2]
    assert interactions.is_first.tolist() == [True, True, True, False]
    assert interactions.take(np.array([2, 1])).items.tolist() == [2, 1, 2]
    assert interactions.pairs().toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]
    assert interactions.targets == 1


def test_every_column_follows_what_is_kept() -> None:
    interactions = of([0, 1, 2], [2, 0])
    kept = interactions.where(np.array([True, False, True, False, True]))
    assert kept.offsets.tolist() == [0, 2, 3]
    assert kept.items.tolist() == [0, 2, 0]
    assert kept.hours.tolist() == [0, 2, 4]
    assert interactions.before(2).items.tolist() == [0, 1]


def test_other_rows_for_items_leave_unknown_ones_out() -> None:
    recoded = of([0, 1, 2], [1]).recoded(np.array([5, -1, 3]), 6)
    assert recoded.items.tolist() == [5, 3]
    assert recoded.offsets.tolist() == [0, 2, 2]
    assert recoded.item_count == 6
