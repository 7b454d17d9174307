"""Exposure of an item: the share of users who would have it among their first ones. What was served is in the exposure
log.

The slate limits and discounts items of high exposure, so that the lists of different users differ. The night
measures exposure once, on lists without this, and a release contains it: a user's list depends on no other request.

Shapes: I items, R reference users.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ranking.feature_arrays import Floats, Rows
from ranking.rank_users import RankingSnapshot, Scorer, rank_users

DEPTH = 20
"""The places that count as the first ones."""
MOST_USERS, FEWEST_USERS = 256, 20
"""Users that exposure is measured on. Below the fewest, no item counts as common: a share of five users is chance."""
USERS_AT_ONCE = 64


def with_exposure(snapshot: RankingSnapshot, reranker: Scorer, user_rows: Rows) -> RankingSnapshot:
    """The snapshot with the exposure of its items, measured on some of `user_rows`; without, where nothing reads it."""
    slate = snapshot.config.slate
    if not (slate.per_common or slate.common_discount):
        return snapshot
    return replace(snapshot, exposure=exposure(snapshot, reranker, reference_users(user_rows)))


def reference_users(user_rows: Rows) -> Rows:
    """[R] at most `MOST_USERS` of these users, evenly spread; none where they are fewer than `FEWEST_USERS`."""
    if len(user_rows) < FEWEST_USERS:
        return user_rows[:0]
    places = np.linspace(0, len(user_rows) - 1, min(MOST_USERS, len(user_rows))).astype(np.int64)
    return np.asarray(user_rows[places], np.int32)


def exposure(snapshot: RankingSnapshot, reranker: Scorer, user_rows: Rows) -> Floats:
    """[I] the share of these users whose first `DEPTH` items hold each item, without limit and discount."""
    unlimited = replace(snapshot, exposure=None)
    counts = np.zeros(len(snapshot.items.ids))
    for start in range(0, len(user_rows), USERS_AT_ONCE):
        counts += _listed(unlimited, reranker, user_rows[start : start + USERS_AT_ONCE])
    return np.asarray(counts / max(len(user_rows), 1), np.float32)


def _listed(snapshot: RankingSnapshot, reranker: Scorer, user_rows: Rows) -> NDArray[np.int64]:
    """[I] how many of the users' lists hold each item."""
    ranked = rank_users(snapshot, reranker, user_rows, DEPTH)
    return np.bincount(ranked.candidates.item_rows[ranked.slates.pairs], minlength=len(snapshot.items.ids))
