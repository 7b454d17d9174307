"""The best items nobody has seen yet, for many users at once.

Shapes: U users, K places, I items, R items that may be ranked.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.lists import NOBODY, ItemSets, Lists, Mask, Rows

CHUNK_SCORES = 8_000_000
"""Scores held at once: 32 MB of float32."""
NOT_RANKED = np.float32(-np.inf)


def first_unseen(order: Rows, user_rows: Rows, k: int, seen: ItemSets) -> Lists:
    """The first `k` items of one order [R] for everyone, without what each user has seen (`seen` [all users])."""
    # a user who saw s items finds k others among the first k + s
    width = min(len(order), k + int(seen.counts[user_rows].max(initial=0)))
    chunks = _chunks(user_rows, width)
    return _stacked((_first_unseen(order[:width], chunk, k, seen) for chunk in chunks), k)


def _first_unseen(order: Rows, user_rows: Rows, k: int, seen: ItemSets) -> Rows:
    place = np.full(int(max(order.max(initial=-1), seen.item_rows.max(initial=-1))) + 1, len(order))
    place[order] = np.arange(len(order))
    free = np.ones((len(user_rows), len(order) + 1), dtype=bool)  # the last column: seen, but not in the order
    sets = seen.take(user_rows)
    free[sets.owners, place[sets.item_rows]] = False
    free = free[:, :-1]
    rows = np.full((len(user_rows), k), NOBODY, dtype=np.int32)
    rank = free.cumsum(axis=1) - 1
    users, columns = np.nonzero(free & (rank < k))
    rows[users, rank[users, columns]] = order[columns]
    return rows


def best_unseen(
    scores_of: Callable[[Rows], NDArray[np.float32]], user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets
) -> Lists:
    """The `k` rankable unseen items of the highest score; an item of score -inf is never listed.

    `scores_of(user_rows)` gives [U, I] and is asked for a chunk of users at a time.
    """
    chunks = _chunks(user_rows, len(rankable))
    return _stacked((_best_unseen(scores_of(chunk), chunk, k, rankable, seen) for chunk in chunks), k)


def _best_unseen(scores: NDArray[np.float32], user_rows: Rows, k: int, rankable: Mask, seen: ItemSets) -> Rows:
    scores = np.where(rankable, scores, NOT_RANKED)
    sets = seen.take(user_rows)
    scores[sets.owners, sets.item_rows] = NOT_RANKED
    width = min(k, scores.shape[1])
    best = np.argpartition(-scores, width - 1, axis=1)[:, :width] if width else np.zeros((len(scores), 0), dtype=int)
    best.sort(axis=1)  # equal scores: the lower row first
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
    rows = np.full((len(user_rows), k), NOBODY, dtype=np.int32)
    rows[:, :width] = np.where(values > NOT_RANKED, best, NOBODY)
    return rows


def _chunks(user_rows: Rows, width: int) -> Iterator[Rows]:
    size = max(1, CHUNK_SCORES // max(1, width))
    return (user_rows[start : start + size] for start in range(0, len(user_rows), size))


def _stacked(chunks: Iterator[Rows], k: int) -> Lists:
    return Lists(np.concatenate([np.zeros((0, k), dtype=np.int32), *chunks]))
