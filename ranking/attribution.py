"""Why an item is in a slate: the signal that moved its score most, and the user's own item that the signal rests on.

Shapes: P pairs, F features.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs
from ranking.candidates import BITS
from ranking.feature_arrays import Candidates, Floats, Items, Rows, Users
from ranking.feature_names import ALL_FEATURE_NAMES, COOCCURRENCE_NAMES
from ranking.history import History, history_of
from ranking.pair_features import RECENT
from ranking.reranker import Reranker
from ranking.similarity import Nearest, nearest_liked, unit


class Signal(StrEnum):
    """What can move a score, in words that a reader understands."""

    SIMILAR = "similar"  # near to what the user liked
    CREATOR = "creator"  # the user likes this creator
    CATEGORY = "category"
    LANGUAGE = "language"
    FRESH = "fresh"
    TRENDING = "trending"  # many users read it these days
    POPULAR = "popular"  # users have liked it, or its creator's other items


SIGNALS = tuple(Signal)
OF_USER = {
    "text_profile": Signal.SIMILAR,
    "text_nearest": Signal.SIMILAR,
    "text_nearest_latest": Signal.SIMILAR,
    "text_rank": Signal.SIMILAR,
    "retrieval_score": Signal.SIMILAR,
    "retrieval_rank": Signal.SIMILAR,
    "from_two_tower": Signal.SIMILAR,
    "creator_strength": Signal.CREATOR,
    "creator_share": Signal.CREATOR,
    "creator_interactions": Signal.CREATOR,
    "creator_interaction_share": Signal.CREATOR,
    "creator_reach": Signal.CREATOR,
    "category_share": Signal.CATEGORY,
    "language_share": Signal.LANGUAGE,
    **dict.fromkeys(COOCCURRENCE_NAMES, Signal.SIMILAR),
}
OF_TIME = ("age_", "newness_", "created_", "new_since_", "from_fresh")
OF_NOW = (
    "users_per_hour",
    "interaction_rate_",
    "popularity_",
    "from_popular",
    "item_trend",
    "item_users_",
    "item_clicks_",
    "item_saves_",
)
"""Prefixes of the features of newness, and of current popularity."""


def signal_of(feature: str) -> Signal | None:
    """The signal that a feature belongs to; None for features of the user alone."""
    if feature in OF_USER:
        return OF_USER[feature]
    if feature.startswith(OF_TIME):
        return Signal.FRESH
    if feature.startswith(OF_NOW):
        return Signal.TRENDING
    return Signal.POPULAR if feature.startswith("item_") else None


GROUPS = np.array([[signal_of(feature) is signal for signal in SIGNALS] for feature in ALL_FEATURE_NAMES], np.float32)
"""[F, number of signals] which feature belongs to which signal; a re-ranker may read the first features only."""


@dataclass(frozen=True)
class Reasons:
    """One row a pair. `evidence` is the liked item that is nearest, in the same embedding that moved the score."""

    signals: NDArray[np.str_]  # [P] a `Signal`
    strengths: Floats  # [P] what the signal added to the score, never negative
    evidence: Rows  # [P] row of Items, -1 where the user liked nothing or the signal is another
    similarities: Floats  # [P] cosine with the evidence, 0 without


def reasons(users: Users, items: Items, candidates: Candidates, features: Floats, reranker: Reranker) -> Reasons:
    """The strongest signal of each pair, from the model's own accounts (TreeSHAP summed over a signal's features).

    Where no signal raised the score, the source that brought the item is the reason.
    """
    moved = reranker.contributions(features) @ GROUPS[: features.shape[1]]
    strongest, strengths = moved.argmax(axis=1), moved.max(axis=1, initial=0)
    signals = np.where(strengths > 0, np.array(SIGNALS, dtype=str)[strongest], _by_source(candidates.sources))
    nearest = nearest_to(users, items, candidates)
    rests = (signals == Signal.SIMILAR) & (nearest.items >= 0)
    return Reasons(signals, strengths, np.where(rests, nearest.items, -1), np.where(rests, nearest.similarities, 0))


def nearest_to(users: Users, items: Items, candidates: Candidates) -> Nearest:
    """The recently liked item nearest to each candidate: by text where both have one, else by the towers' vectors."""
    asked, owners = np.unique(candidates.user_rows, return_inverse=True)
    history = history_of(users, items, asked).recent(RECENT)
    by_text = nearest_liked(items.text_vectors, history, owners, candidates.item_rows)
    if (by_text.similarities > 0).all():
        return by_text
    by_tower = _by_tower(items, history, owners, candidates.item_rows)
    worded = by_text.similarities > 0
    return Nearest(
        np.where(worded, by_text.items, by_tower.items), np.where(worded, by_text.similarities, by_tower.similarities)
    )


def _by_tower(items: Items, history: History, owners: Longs, item_rows: Rows) -> Nearest:
    rows, inverse = np.unique(np.concatenate([history.items, item_rows]), return_inverse=True)
    compact = inverse.astype(np.int32)
    moved = History(
        history.users, history.owners, compact[: len(history.items)], history.weights, history.hours, history.ages
    )
    nearest = nearest_liked(unit(items.vectors[rows]), moved, owners, compact[len(history.items) :])
    return Nearest(np.where(nearest.items >= 0, rows[nearest.items], -1), nearest.similarities)


def _by_source(sources: NDArray[np.uint8]) -> NDArray[np.str_]:
    fresh, popular = (sources & BITS["fresh"]) > 0, (sources & BITS["popular"]) > 0
    return np.where(fresh, Signal.FRESH, np.where(popular, Signal.TRENDING, Signal.SIMILAR)).astype(str)
