"""The best unseen items of many users: the one masked top-k, for baselines, benchmarks and validation.

Shapes: U users, K places, I items, R items that may be ranked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.rankings import PADDING, ItemSets, Mask, RankedLists, Rows

CHUNK_SCORES = 8_000_000
"""Scores held at once: 32 MB of float32."""
BLOCK = 64
"""Columns of a block, whose maximum is compared first."""
NOT_RANKED = np.float32(-np.inf)
Scores = NDArray[np.float32]
ScoresOf = Callable[[Rows], Scores]
"""[U, I] scores of some users, which may be overwritten."""


@dataclass(frozen=True)
class TopK:
    """The best items of each user, best first; -1 and -inf in empty places at the end."""

    rows: Rows  # [U, K]
    scores: Scores  # [U, K]


def first_unseen(order: Rows, user_rows: Rows, k: int, seen: ItemSets) -> RankedLists:
    """The first `k` items of one order [R] for all users, without what each user has seen (`seen` [all users])."""
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
    rows = np.full((len(user_rows), k), PADDING, dtype=np.int32)
    rank = free.cumsum(axis=1) - 1
    users, columns = np.nonzero(free & (rank < k))
    rows[users, rank[users, columns]] = order[columns]
    return rows


def best_unseen(scores_of: ScoresOf, user_rows: Rows, k: int, *, rankable: Mask, seen: ItemSets) -> TopK:
    """The `k` rankable unseen items of the highest score; an item of score -inf is never listed.

    `scores_of(user_rows)` gives [U, I] that may be overwritten, and is called for a chunk of users at a time. `seen`
    [all users] are masked. Equal scores: the lower row first; which of them come in last is `argpartition`'s choice.
    """
    chunks = [_best_unseen(scores_of(chunk), chunk, k, rankable, seen) for chunk in _chunks(user_rows, len(rankable))]
    rows, scores = zip((np.zeros((0, k), np.int32), np.zeros((0, k), np.float32)), *chunks, strict=True)
    return TopK(np.concatenate(rows), np.concatenate(scores))


def _best_unseen(scores: Scores, user_rows: Rows, k: int, rankable: Mask, seen: ItemSets) -> tuple[Rows, Scores]:
    sets = seen.take(user_rows)
    scores[:, ~rankable] = NOT_RANKED
    scores[sets.owners, sets.item_rows] = NOT_RANKED
    width = min(k, scores.shape[1])
    best = np.sort(_greatest(scores, width), axis=1)  # equal scores: the lower row first
    values = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, order, axis=1), np.take_along_axis(values, order, axis=1)
    rows, kept = np.full((len(user_rows), k), PADDING, np.int32), np.full((len(user_rows), k), NOT_RANKED)
    rows[:, :width], kept[:, :width] = np.where(values > NOT_RANKED, best, PADDING), values
    return rows, kept


def _greatest(scores: Scores, width: int) -> NDArray[np.int64]:
    """[U, width] the columns of the greatest scores in any order.

    Of many columns, those in the blocks of the greatest maxima alone: ten times as fast as a partition of whole rows.
    """
    users, items = scores.shape
    blocks = items // BLOCK
    if not width or blocks <= 2 * width:
        return _partition(scores, width)
    # column c is of block c modulo `blocks`: a maximum over rows of a matrix is the fast one
    greatest = scores[:, : blocks * BLOCK].reshape(users, BLOCK, blocks).max(axis=1)
    some = _partition(greatest, width)
    rest = np.broadcast_to(np.arange(blocks * BLOCK, items), (users, items - blocks * BLOCK))
    columns = (some[:, None, :] + blocks * np.arange(BLOCK)[:, None]).reshape(users, -1)
    columns = np.concatenate([columns, rest], axis=1)
    return np.take_along_axis(columns, _partition(np.take_along_axis(scores, columns, axis=1), width), axis=1)


def _partition(scores: Scores, width: int) -> NDArray[np.int64]:
    if not width:
        return np.zeros((len(scores), 0), np.int64)
    return np.argpartition(-scores, width - 1, axis=1)[:, :width]


def _chunks(user_rows: Rows, width: int) -> Iterator[Rows]:
    size = max(1, CHUNK_SCORES // max(1, width))
    return (user_rows[start : start + size] for start in range(0, len(user_rows), size))


def _stacked(chunks: Iterator[Rows], k: int) -> RankedLists:
    return RankedLists(np.concatenate([np.zeros((0, k), dtype=np.int32), *chunks]))
