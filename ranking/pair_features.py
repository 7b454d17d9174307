"""The features of a user and an item: one implementation for training, backtest, batch and the server.

Shapes: P pairs, B distinct users and J distinct items among them, N most pairs of one user, F features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Doubles, Longs, distinct, medians, pair_keys, table_of
from ranking.candidates import BITS, distinct_items
from ranking.feature_arrays import Candidates, Floats, Items, Rows, Users
from ranking.feature_names import (
    FEATURE_NAMES,
    ITEM_FEATURE_NAMES,
    PAIR_FEATURE_NAMES,
    SEEN_ITEM_FEATURES,
    SEEN_USER_FEATURES,
    USER_FEATURE_NAMES,
)
from ranking.history import History, history_of
from ranking.key_sums import lookup_sums, ranks_within
from ranking.similarity import likeness

CREATOR_ITEMS, USERS, USERS_1D, USERS_7D = map(
    ITEM_FEATURE_NAMES.index, ("creator_items", "users", "users_1d", "users_7d")
)
SEEN_OF_ITEMS = [ITEM_FEATURE_NAMES.index(name) for name in SEEN_ITEM_FEATURES]
SEEN_OF_USERS = [USER_FEATURE_NAMES.index(name) for name in SEEN_USER_FEATURES]
OF_ITEMS = slice(len(PAIR_FEATURE_NAMES), len(PAIR_FEATURE_NAMES) + len(SEEN_OF_ITEMS))
OF_USERS = slice(OF_ITEMS.stop, len(FEATURE_NAMES))
"""Where the night's features of items and of users are among `FEATURE_NAMES`."""

Columns = dict[str, NDArray[Any]]


def affinities(items: Items, history: History, owners: Longs, item_rows: Rows) -> Columns:
    """Shares of each user's decayed strength and of their interactions; unknown codes (-1) belong to no user.

    `creator_reach` is the share of a creator's items that the user has interacted with, slightly smoothed."""
    creators, languages = items.creator, items.language
    totals = history.totals[owners]
    once = np.ones(len(history.items))
    strength, interactions = _with_code(history, creators, [history.weights, once], owners, creators[item_rows])
    (spoken,) = _with_code(history, languages, [history.weights], owners, languages[item_rows])
    return {
        "creator_strength": strength,
        "creator_share": _share(strength, totals),
        "creator_interactions": interactions,
        "creator_interaction_share": interactions / (history.counts[owners] + 1),
        "creator_reach": interactions / (items.features[item_rows, CREATOR_ITEMS] + 2),
        "category_share": _share(_category_strength(items, history, owners, item_rows), totals),
        "language_share": np.where(languages[item_rows] < 0, np.nan, _share(spoken, totals)),
    }


def _share(part: Doubles, total: Doubles) -> Doubles:
    return np.divide(part, total, out=np.zeros_like(part), where=total > 0)


def _with_code(history: History, codes: Rows, weights: Sequence[Doubles], owners: Longs, wanted: Rows) -> list[Doubles]:
    codes_H = codes[history.items]
    known = codes_H >= 0
    sums = lookup_sums(
        pair_keys(history.owners[known], codes_H[known]),
        [each[known] for each in weights],
        pair_keys(owners, np.maximum(wanted, 0)),
    )
    return [np.where(wanted >= 0, each, 0.0) for each in sums]


def _category_strength(items: Items, history: History, owners: Longs, item_rows: Rows) -> Doubles:
    """The strength on an item's categories, the mean over them; 0 for an item without any."""
    interaction, category = items.categories.where(history.items)
    pair, wanted = items.categories.where(item_rows)
    codes, wanted_codes = items.category_codes[category], items.category_codes[wanted]
    have = pair_keys(history.owners[interaction], codes)
    (sums,) = lookup_sums(have, [history.weights[interaction]], pair_keys(owners[pair], wanted_codes))
    count = np.bincount(pair, minlength=len(item_rows))
    return np.bincount(pair, weights=sums, minlength=len(item_rows)) / np.maximum(count, 1)


RECENT, LATEST = 50, 5
"""How many of the last liked items similarity looks back on: at length, and in the current mood."""
QUICK_HOURS = (24, 168, 720)
"""The shares of interactions this soon after an item's creation measure how fast a user reads."""
HOURS_A_DAY = 24


def pair_features(users: Users, items: Items, candidates: Candidates, as_of_hours: float) -> Floats:
    """[P, F] in the order of `FEATURE_NAMES`. `as_of_hours` is the moment of asking, in hours since 1970.

    A pair's features depend on the user's own candidates alone (ranks are within them), never on who else is asked for.
    """
    asked, owners = distinct(candidates.user_rows)
    pairs_BN, history = table_of(owners, len(asked)), history_of(users, items, asked)
    item_rows, places = distinct_items(candidates.item_rows, len(items.ids))
    of_items = _of_items(items, item_rows, as_of_hours)
    columns = {
        **{name: values[places] for name, values in of_items.items()},
        **affinities(items, history, owners, candidates.item_rows),
        **_likeness(items, history, pairs_BN, candidates),
        **_moments(history, owners, of_items["age_hours"], places, as_of_hours),
        **_sources(candidates),
    }
    night_FJ = items.features[item_rows].T
    columns |= _ranks(columns, night_FJ, places, pairs_BN)
    table_FP = np.empty((len(FEATURE_NAMES), len(owners)), np.float32)
    for place, name in enumerate(PAIR_FEATURE_NAMES):
        table_FP[place] = columns[name]
    table_FP[OF_ITEMS] = night_FJ[SEEN_OF_ITEMS][:, places]
    table_FP[OF_USERS] = users.features[asked].T[SEEN_OF_USERS][:, owners]
    return table_FP.T


def _of_items(items: Items, rows: Rows, as_of_hours: float) -> Columns:
    """[J] columns of items alone, beside the night's."""
    created = items.created_hours[rows]
    age = as_of_hours - created
    return {
        "age_hours": age,
        "users_per_hour": items.features[rows, USERS] / (np.maximum(age, 0) + 3),
        "created_hour": created % HOURS_A_DAY,
        "created_weekday": created // HOURS_A_DAY % 7,
    }


def _likeness(items: Items, history: History, pairs_BN: Longs, candidates: Candidates) -> Columns:
    cosines = likeness(items.text_vectors, history, pairs_BN, candidates.item_rows, recent=RECENT, latest=LATEST)
    return {
        "text_profile": cosines.profile,
        "text_nearest": cosines.nearest,
        "text_nearest_latest": cosines.nearest_latest,
        "retrieval_score": candidates.retrieval_scores,
    }


def _moments(history: History, owners: Longs, age_J: Doubles, places: Rows, as_of_hours: float) -> Columns:
    age, away = age_J[places], as_of_hours - history.last_hours[owners]
    habit_B = medians(history.owners, np.nan_to_num(history.ages), history.users)
    return {
        "hours_away": away,
        "new_since_last_interaction": age < away,
        "age_beyond_away": age - away,
        "median_age_at_click_hours": habit_B[owners],
        "age_over_median_age_at_click": _log_hours(age_J)[places] - _log_hours(habit_B)[owners],
        **{f"quick_share_{hours}h": _quick_share(history, hours)[owners] for hours in QUICK_HOURS},
    }


def _log_hours(hours: Doubles) -> Doubles:
    return np.log1p(np.maximum(hours, 0))


def _quick_share(history: History, hours: int) -> Doubles:
    """[B] share of a user's interactions that came within `hours` of the item's creation; a little smoothed."""
    quick = np.bincount(history.owners, weights=history.ages < hours, minlength=history.users)
    return quick / (history.counts + 1)


def _sources(candidates: Candidates) -> Columns:
    return {f"from_{source}": (candidates.sources & bit) > 0 for source, bit in BITS.items()}


def _ranks(columns: Columns, night_FJ: Floats, places: Rows, pairs_BN: Longs) -> Columns:
    """Places among the user's own candidates, 0 for the best."""
    values = {
        "newness_rank": -columns["age_hours"],
        "popularity_rank_1d": night_FJ[USERS_1D][places],
        "popularity_rank_7d": night_FJ[USERS_7D][places],
        "interaction_rate_rank": columns["users_per_hour"],
        "text_rank": columns["text_profile"],
        "retrieval_rank": columns["retrieval_score"],
    }
    return dict(zip(values, ranks_within(pairs_BN, list(values.values())), strict=True))
