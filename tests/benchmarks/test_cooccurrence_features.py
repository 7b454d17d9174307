"""What comes after an item, and together with it, by hand."""

import numpy as np
import pytest

from benchmarks.cooccurrence_features import NAMES, companions, followers, memories
from ranking.feature_arrays import Candidates, Users


def users_with(*histories: list[int]) -> Users:
    """Their touches in order; nothing else of them is looked at."""
    counts = [len(history) for history in histories]
    touched = np.array([item for history in histories for item in history], np.int32)
    nothing = np.zeros((len(counts), 0), np.float32)
    return Users(
        ids=np.array([str(row) for row in range(len(counts))]),
        region=np.full(len(counts), -1, np.int32),
        vectors=nothing,
        features=nothing,
        history_offsets=np.concatenate([[0], np.cumsum(counts)]),
        history_items=touched,
        history_saves=np.zeros(len(touched), np.float32),
        history_clicks=np.ones(len(touched), np.float32),
        history_hours=np.arange(len(touched), dtype=np.float64),
    )


def pairs_of(*pairs: tuple[int, int]) -> Candidates:
    users, items = np.array(pairs, np.int32).T
    return Candidates(users, items, np.zeros(len(pairs), np.uint8), np.zeros(len(pairs), np.float32))


def test_followers_count_the_sooner_the_more_and_never_across_people() -> None:
    found = followers(users_with([0, 1, 2], [2, 0]), 3, reach=2, half=1.0)
    assert found.tolist() == [[0, 1, 0.5], [0, 0, 1], [1, 0, 0]]


def test_memories_halve_with_later_touches() -> None:
    users = users_with([0, 1, 2], [2])
    assert memories(users, np.array([0]), 3, 1.0).toarray().tolist() == [[0.25, 0.5, 1]]
    assert memories(users, np.array([1, 0]), 3, np.inf).toarray().tolist() == [[0, 0, 1], [1, 1, 1]]


def test_what_follows_the_last_touch_is_told_from_what_follows_earlier_ones() -> None:
    taught = [[0, 1]] * 30 + [[2, 3]] * 30
    users = users_with(*taught, [0, 2], [2, 0])
    found = companions(users, pairs_of((60, 1), (60, 3), (61, 1), (61, 3)), 4, threads=1)
    last, near_rank = found[:, NAMES.index("after_last")], found[:, NAMES.index("after_near_rank")]
    assert last[1] > 10 * last[0]
    assert last[2] > 10 * last[3]
    assert near_rank.tolist() == [1, 0, 0, 1]


def test_what_is_liked_together_needs_no_order() -> None:
    users = users_with(*[[0, 1], [1, 0]] * 30, *[[2, 3]] * 60, [0])
    together = companions(users, pairs_of((120, 1), (120, 3)), 4, threads=1)[:, NAMES.index("together")]
    assert together[0] > 0
    assert together[1] == pytest.approx(0, abs=1e-6)
