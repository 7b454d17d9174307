"""Item-transition and co-occurrence features: which items users click or save after, or beside, those of a user.

Two sparse tables of items by items, made from the histories as of one cutoff. A release contains them when its
re-ranker reads these features. Shapes: U users, I items, B distinct users among P pairs, E entries of a table.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from contracts.csr import Longs, Rows, distinct, table_of
from ranking.feature_arrays import Candidates, Floats, Users
from ranking.feature_names import COOCCURRENCE_NAMES
from ranking.key_sums import ranks_within

REACH, HALF_REACH = 10, 3.0
"""An item follows another if it is at most `REACH` interactions later; its count halves every `HALF_REACH`."""
LAST, RECENT, LONGER = 0.01, 4.0, 8.0
"""Half-lives of a user's state, in later interactions; the first keeps nothing but the last item."""
LONGEST_HISTORY = 100
"""Latest items of a user that are counted together: pairs grow with the square."""
PRIOR = 20.0
"""Imagined further users of each item, so that a rare item has small shares."""
MIN_USERS = 2
"""An entry needs so many users: what one user alone did is noise, and would be theirs to read in a release."""
MOST_ENTRIES = 100
"""Largest entries of an item that a table keeps."""
FAINT = 1e-3
CHUNK_CELLS = 16_000_000


@dataclass(frozen=True)
class Transitions:
    """`after`: shares of the items that follow an item. `together`: cosines of the sets of users of two items."""

    after_offsets: Longs  # [I + 1]
    after_items: Rows  # [E]
    after_weights: Floats  # [E]
    together_offsets: Longs  # [I + 1]
    together_items: Rows  # [E]
    together_weights: Floats  # [E]

    @cached_property
    def after(self) -> csr_matrix:
        """[I, I] for each item, what follows it."""
        return _matrix(self.after_weights, self.after_items, self.after_offsets)

    @cached_property
    def together(self) -> csr_matrix:
        """[I, I] symmetric before the largest entries are kept."""
        return _matrix(self.together_weights, self.together_items, self.together_offsets)


def transition_tables(users: Users, item_count: int, user_rows: Rows) -> Transitions:
    """The tables of the users whose events may train shared models; hidden items count for nothing."""
    owners, positions = _positive_history(users, user_rows)
    from_end = np.searchsorted(owners, owners, side="right") - np.arange(len(owners))
    late = from_end <= LONGEST_HISTORY
    owners, items = owners[late], users.history_items[positions[late]]
    after = _largest(_shares(_supported(*_followers(owners, items, item_count))))
    together = _largest(_cosines(owners, items, (len(user_rows), item_count)))
    return Transitions(
        *(after.indptr.astype(np.int64), after.indices.astype(np.int32), after.data.astype(np.float32)),
        *(together.indptr.astype(np.int64), together.indices.astype(np.int32), together.data.astype(np.float32)),
    )


def cooccurrence_features(users: Users, transitions: Transitions, candidates: Candidates) -> Floats:
    """[P, number of names] in the order of `COOCCURRENCE_NAMES`; a pair's values depend on its own user alone."""
    asked, owners = distinct(candidates.user_rows)
    values = {
        "after_last": (LAST, transitions.after),
        "after_recent": (RECENT, transitions.after),
        "together_recent": (LONGER, transitions.together),
        "together_all": (np.inf, transitions.together),
    }
    columns: dict[str, NDArray[np.floating]] = {
        name: _at_pairs(user_states(users, asked, table.shape[0], half_life), table, owners, candidates.item_rows)
        for name, (half_life, table) in values.items()
    }
    ranks = ranks_within(table_of(owners, len(asked)), [columns["after_recent"], columns["together_all"]])
    columns |= dict(zip(("after_recent_rank", "together_all_rank"), ranks, strict=True))
    return np.stack([columns[name].astype(np.float32) for name in COOCCURRENCE_NAMES], axis=1)


def user_states(users: Users, user_rows: Rows | Longs, item_count: int, half_life: float) -> csr_matrix:
    """[B, I] the items of each user; a weight halves after `half_life` later interactions."""
    owners, positions = _positive_history(users, user_rows)
    ages = np.searchsorted(owners, owners, side="right") - np.arange(len(owners)) - 1
    weights = (0.5 ** (ages / half_life)).astype(np.float32)
    kept = weights > FAINT
    cells = owners[kept], users.history_items[positions[kept]]
    return csr_matrix((weights[kept], cells), shape=(len(user_rows), item_count))


def _positive_history(users: Users, user_rows: Rows | Longs) -> tuple[Longs, Longs]:
    """Owner and position of each clicked or saved item, oldest first."""
    owners, positions = users.history.where(user_rows)
    positive = users.history_saves[positions] + users.history_clicks[positions] > 0
    return owners[positive], positions[positive]


def _followers(owners: Longs, items: Rows, item_count: int) -> tuple[csr_matrix, csr_matrix]:
    """[I, I] decayed counts of the second item after the first, and the number of users of each pair."""
    firsts, seconds, weights = [], [], []
    for step in range(1, REACH + 1):
        own = owners[step:] == owners[:-step]
        firsts.append(items[:-step][own])
        seconds.append(items[step:][own])
        weights.append(np.full(int(own.sum()), 0.5 ** ((step - 1) / HALF_REACH), np.float32))
    cells, shape = (np.concatenate(firsts), np.concatenate(seconds)), (item_count, item_count)
    decayed = np.concatenate(weights)
    return csr_matrix((decayed, cells), shape=shape), csr_matrix((np.ones_like(decayed), cells), shape=shape)


def _supported(table: csr_matrix, support: csr_matrix) -> csr_matrix:
    table = table.multiply(support >= MIN_USERS).tocsr()
    table.eliminate_zeros()
    return table


def _shares(table: csr_matrix) -> csr_matrix:
    totals = np.asarray(table.sum(axis=1)).ravel() + PRIOR
    return _scaled(table, 1 / totals, np.ones(table.shape[1]))


def _cosines(owners: Longs, items: Rows, shape: tuple[int, int]) -> csr_matrix:
    matrix = csr_matrix((np.ones(len(items), np.float32), (owners, items)), shape=shape)
    counts = (matrix.T @ matrix).tocsr()
    sizes = 1 / np.sqrt(counts.diagonal() + PRIOR)
    counts.setdiag(0)
    return _scaled(_supported(counts, counts), sizes, sizes)


def _scaled(table: csr_matrix, rows: np.ndarray, columns: np.ndarray) -> csr_matrix:
    owners = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    weights = (table.data * rows[owners] * columns[table.indices]).astype(np.float32)
    return csr_matrix((weights, table.indices, table.indptr), shape=table.shape)


def _largest(table: csr_matrix) -> csr_matrix:
    """The `MOST_ENTRIES` largest entries of each row; of equal ones, those of lower items."""
    owners = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((table.indices, -table.data, owners))
    rank = np.arange(len(order)) - table.indptr[owners]
    kept = np.sort(order[rank < MOST_ENTRIES])
    return csr_matrix((table.data[kept], (owners[kept], table.indices[kept])), shape=table.shape)


def _at_pairs(states: csr_matrix, table: csr_matrix, owners: Longs, items: Rows) -> Floats:
    """[P] entries of `states @ table` at (owner, item), a part of the users at a time."""
    values = np.empty(len(owners), np.float32)
    order = np.argsort(owners, kind="stable")
    step = max(1, CHUNK_CELLS // max(1, table.shape[1]))
    for start in range(0, states.shape[0], step):
        first, last = np.searchsorted(owners[order], (start, start + step))
        some = order[first:last]
        scores = (states[start : start + step] @ table).toarray()
        values[some] = scores[owners[some] - start, items[some]]
    return values


def _matrix(weights: Floats, items: Rows, offsets: Longs) -> csr_matrix:
    return csr_matrix((weights, items, offsets), shape=(len(offsets) - 1, len(offsets) - 1))
