"""Fatigue: impressions demote an item, then leave it out; what was shown moments ago comes last."""

import numpy as np
import pytest

from contracts.csr import CsrRows
from ranking.fatigue import FatigueConfig, UserImpressions, UserShown, shown_items
from ranking.rank_users import rank_users
from tests.ranking.test_rank_users import ByRetrieval, listed, snapshot
from tests.ranking.worlds import ANN, HIDER, NEWCOMER

FATIGUE = FatigueConfig(discount=0.6, limit=2)
NOTHING = UserShown(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0))


def shown(item: int, impressions: int = 1, *, recent: bool = False) -> UserShown:
    return UserShown(np.array([item], np.int32), np.array([impressions]), np.array([recent]), np.array([np.nan]))


def ranked(*of_users: UserShown, rows: tuple[int, ...] = (ANN,), config: FatigueConfig = FATIGUE):
    user_rows = np.array(rows, np.int32)
    return rank_users(snapshot(), ByRetrieval(), user_rows, 9, shown=shown_items(of_users, config))


def test_what_is_left_after_some_impressions() -> None:
    left = FatigueConfig(discount=0.2, limit=3).remaining(np.array([0, 1, 2, 3, 50]))
    assert left.tolist() == pytest.approx([1, 0.8, 0.64, 0, 0])
    assert FatigueConfig(discount=0.5, limit=0).remaining(np.array([4])).tolist() == [1 / 16]
    assert FatigueConfig(discount=0, limit=0).remaining(np.array([0, 9])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (NOTHING, [3, 4, 1]),  # relevance 1, 0.5 and 0
        (shown(3), [4, 3, 1]),  # 0.4 is left of 1
        (shown(3, 2), [4, 1]),
        (shown(3, recent=True), [4, 1, 3]),  # the last one, however relevant
        (shown(0, 9), [3, 4, 1]),  # of the history: it was no candidate
    ],
)
def test_an_item_is_demoted_then_left_out(before: UserShown, expected: list[int]) -> None:
    assert listed(ranked(before), ANN) == expected


def test_what_one_user_was_shown_changes_no_other_list() -> None:
    rows = (NEWCOMER, ANN, HIDER)  # not in order
    without = ranked(NOTHING, NOTHING, NOTHING, rows=rows)
    after = ranked(NOTHING, shown(3, 2), NOTHING, rows=rows)
    assert listed(after, ANN) == [4, 1]
    for row in (NEWCOMER, HIDER):
        assert listed(after, row) == listed(without, row)


def test_a_user_who_was_shown_everything_has_no_list() -> None:
    everything = UserShown(np.arange(5, dtype=np.int32), np.full(5, 2), np.zeros(5, bool), np.zeros(5))
    assert listed(ranked(everything), ANN) == []


def test_everything_shown_moments_ago_is_repeated_in_its_order() -> None:
    everything = UserShown(np.arange(5, dtype=np.int32), np.ones(5, np.int64), np.ones(5, bool), np.zeros(5))
    assert listed(ranked(everything, config=FatigueConfig(discount=0)), ANN) == [3, 4, 1]


def test_the_impressions_of_a_release_are_found_by_user() -> None:
    impressions = UserImpressions(np.array([0, 2, 2, 3]), np.array([4, 1, 0], np.int32), np.array([7, 1, 2], np.int32))
    assert [impressions.of(row) for row in range(3)] == [{4: 7, 1: 1}, {}, {0: 2}]
    kept = impressions.select(np.array([0, 2]))
    assert [kept.of(row) for row in range(2)] == [{4: 7, 1: 1}, {0: 2}]
    assert CsrRows(kept.offsets).counts.tolist() == [2, 1]
