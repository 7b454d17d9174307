"""The names and order of everything the re-ranker looks at; a model with other names is refused."""

import pyarrow as pa

from contracts import columns as c
from contracts.schemas import ITEM_FEATURES, USER_FEATURES

IDENTITY = (c.CUT, c.USER_ID, c.ITEM_ID)


def _numeric(schema: pa.Schema) -> tuple[str, ...]:
    numeric = (field for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    return tuple(field.name for field in numeric if field.name not in IDENTITY)


USER_FEATURE_NAMES = _numeric(USER_FEATURES)
"""Columns of `Users.features`."""
ITEM_FEATURE_NAMES = _numeric(ITEM_FEATURES)
"""Columns of `Items.features`."""

STALE = ("age_hours", "recency_hours")
"""Known better from the arrays at the moment of asking than from the night before; the model never sees them."""
SEEN_USER_FEATURES = tuple(name for name in USER_FEATURE_NAMES if name not in STALE)
SEEN_ITEM_FEATURES = tuple(name for name in ITEM_FEATURE_NAMES if name not in STALE)

PAIR_FEATURE_NAMES = (
    "creator_strength",
    "creator_share",
    "creator_interactions",
    "creator_interaction_share",
    "creator_reach",
    "category_share",
    "language_share",
    "text_profile",
    "text_nearest",
    "text_nearest_latest",
    "text_rank",
    "retrieval_score",
    "retrieval_rank",
    "age_hours",
    "newness_rank",
    "users_per_hour",
    "interaction_rate_rank",
    "popularity_rank_1d",
    "popularity_rank_7d",
    "created_hour",
    "created_weekday",
    "hours_away",
    "new_since_last_interaction",
    "age_beyond_away",
    "median_age_at_click_hours",
    "age_over_median_age_at_click",
    "quick_share_24h",
    "quick_share_168h",
    "quick_share_720h",
    "from_two_tower",
    "from_fresh",
    "from_popular",
)
"""What is computed for a pair at the moment of asking (`pair_features.py`)."""

FEATURE_NAMES = (
    *PAIR_FEATURE_NAMES,
    *(f"item_{name}" for name in SEEN_ITEM_FEATURES),
    *(f"user_{name}" for name in SEEN_USER_FEATURES),
)
"""The columns of `pair_features`, in order."""

COOCCURRENCE_NAMES = (
    "after_last",
    "after_recent",
    "after_recent_rank",
    "together_recent",
    "together_all",
    "together_all_rank",
)
"""The columns of `cooccurrence_features`, in order; a re-ranker reads them where its validation found a gain."""
ALL_FEATURE_NAMES = (*FEATURE_NAMES, *COOCCURRENCE_NAMES)

IMPRESSION_NAMES = ("times_shown", "hours_since_shown", "item_click_rate")
"""The columns of `impression_features`, in order; a re-ranker reads them where its validation found a gain."""
EVERY_FEATURE_NAME = (*ALL_FEATURE_NAMES, *IMPRESSION_NAMES)
FEATURE_SETS = (FEATURE_NAMES, ALL_FEATURE_NAMES, (*FEATURE_NAMES, *IMPRESSION_NAMES), EVERY_FEATURE_NAME)
"""The features that a re-ranker may read, the first ones without optional groups."""
