"""What people take up soon after an item, or together with it: the re-ranker's features that the night does not have.

Tables of items by items are dense, which suits catalogues of a few thousand.
Shapes: P pairs, B distinct users among them, I items, H touches of all users.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from contracts.csr import Longs
from models.baselines.ease import EaseConfig, ease_weights
from ranking.feature_arrays import Candidates, Floats, Rows, Users
from ranking.ragged import ranks_within

Square = NDArray[np.float32]
NAMES = ("after_last", "after_near", "after_near_rank", "after_far", "after_long", "together", "together_rank")
"""The columns of `companions`, in order."""
NEAR, FAR = (10, 3.0), (60, 20.0)
"""How many touches later still counts as after, and after how many more it counts half."""
LAST, MOOD, SPELL, LONG = 0.01, 4.0, 8.0, 40.0
"""Touches after which a person's memory of one has halved; the first keeps nothing but the last touch."""
PRIOR = 20.0
"""Imagined followers of each item, so that a rare one promises little."""
FAINT = 1e-3


def companions(users: Users, pairs: Candidates, item_count: int, *, threads: int) -> Floats:
    """[P, len(NAMES)] from the histories of `users` alone, which end before their cut."""
    asked, owners = np.unique(pairs.user_rows, return_inverse=True)
    at = owners, pairs.item_rows
    with threadpool_limits(threads or None, "blas"):
        near, far = followers(users, item_count, *NEAR), followers(users, item_count, *FAR)
        after, beside = near / (near.sum(axis=1, keepdims=True) + PRIOR), _cosines(far)
        together = ease_weights(memories(users, everyone(users), item_count, np.inf), EaseConfig().regularization)
        columns = {
            "after_last": (memories(users, asked, item_count, LAST) @ after)[at],
            "after_near": (memories(users, asked, item_count, MOOD) @ after)[at],
            "after_far": (memories(users, asked, item_count, SPELL) @ beside)[at],
            "after_long": (memories(users, asked, item_count, LONG) @ beside)[at],
            "together": (memories(users, asked, item_count, np.inf) @ together)[at],
        }
    columns |= {f"{name}_rank": ranks_within(owners, columns[name]) for name in ("after_near", "together")}
    return np.stack([columns[name].astype(np.float32) for name in NAMES], axis=1)


def followers(users: Users, item_count: int, reach: int, half: float) -> Square:
    """[I, I] how often the second item came at most `reach` touches after the first, the sooner the more."""
    counts, items = np.diff(users.history_offsets), users.history_items
    owners = np.repeat(np.arange(len(counts)), counts)
    found = csr_matrix((item_count, item_count), dtype=np.float32)
    for steps in range(1, reach + 1):
        own = owners[steps:] == owners[:-steps]
        weights = np.full(own.sum(), 0.5 ** ((steps - 1) / half), np.float32)
        found += csr_matrix((weights, (items[:-steps][own], items[steps:][own])), shape=found.shape)
    return np.asarray(found.toarray(), np.float32)


def memories(users: Users, user_rows: Rows | Longs, item_count: int, half_life: float) -> csr_matrix:
    """[B, I] what each user touched, halved after so many later touches."""
    owners, at = users.history.where(user_rows)
    ages = users.history_offsets[np.asarray(user_rows) + 1][owners] - 1 - at
    weights = (0.5 ** (ages / half_life)).astype(np.float32)
    kept = weights > FAINT
    places = owners[kept], users.history_items[at[kept]]
    return csr_matrix((weights[kept], places), shape=(len(user_rows), item_count))


def everyone(users: Users) -> Longs:
    """The rows of all users."""
    return np.arange(len(users.ids))


def _cosines(table_II: Square) -> Square:
    rows, columns = table_II.sum(axis=1, keepdims=True) + PRIOR, table_II.sum(axis=0, keepdims=True) + PRIOR
    return np.asarray(table_II / np.sqrt(rows * columns), np.float32)
