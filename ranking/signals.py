"""The signals that can move a score, and the features that belong to each.

Shapes: P pairs, F features, S signals.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from ranking.feature_arrays import Floats, Rows
from ranking.feature_names import COOCCURRENCE_NAMES


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
SHARES = {Signal.CREATOR: "creator_share", Signal.CATEGORY: "category_share", Signal.LANGUAGE: "language_share"}
"""The share of the user's liking that a signal is about."""
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


def _place(signal: Signal | None) -> int:
    return len(SIGNALS) if signal is None else SIGNALS.index(signal)


def signal_places(names: Sequence[str]) -> Rows:
    """[F] the position in `SIGNALS` of each feature's signal, after the last one where it has none."""
    return np.array([_place(signal_of(feature)) for feature in names], np.int32)


def by_signal(contributions: Floats, names: Sequence[str]) -> Floats:
    """[P, S] the contributions [P, F] of each signal's features, added up."""
    added: Floats = contributions @ (signal_places(names)[:, None] == np.arange(len(SIGNALS))).astype(np.float32)
    return added
