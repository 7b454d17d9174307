"""Histories of some users, by hand: ann clicked `old` and saved `save`, hider hid `both`, newcomer did nothing."""

import numpy as np

from ranking.history import SAVE_WEIGHT, History, history_of
from tests.ranking.worlds import ANN, HIDER, NEWCOMER, items, users


def of(*user_rows: int) -> History:
    return history_of(users(), items(), np.array(user_rows, np.int32))


def test_a_save_counts_more_than_a_click_and_a_hide_nothing() -> None:
    history = of(ANN, HIDER)
    assert history.items.tolist() == [0, 2, 1]
    assert history.weights.tolist() == [1, SAVE_WEIGHT, 0]
    assert history.totals.tolist() == [1 + SAVE_WEIGHT, 0]


def test_owners_count_from_the_first_user_of_the_call() -> None:
    history = of(NEWCOMER, HIDER, ANN)
    assert history.owners.tolist() == [1, 2, 2]
    assert history.counts.tolist() == [0, 1, 2]


def test_ages_are_those_of_the_items_at_the_interaction() -> None:
    assert of(ANN).ages.tolist() == [12, 5]


def test_the_last_hour_is_not_known_without_interactions() -> None:
    last = of(ANN, NEWCOMER, HIDER).last_hours
    assert last[[0, 2]].tolist() == [25, 11]
    assert np.isnan(last[1])


def test_the_recent_part_keeps_the_latest_liked_items() -> None:
    recent = of(ANN, HIDER).recent(1)
    assert (recent.owners.tolist(), recent.items.tolist()) == ([0], [2])
    assert recent.users == 2
    assert of(ANN).recent(9).items.tolist() == [0, 2]


def test_no_users_have_an_empty_history() -> None:
    history = of()
    assert (history.users, len(history.items), len(history.totals)) == (0, 0, 0)
