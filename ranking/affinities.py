"""How much of a user's liking has gone to this creator, these categories, this language.

Shapes: P pairs, H items of histories, B users.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.csr import Longs, pair_keys
from ranking.feature_arrays import Items, Rows
from ranking.feature_names import ITEM_FEATURE_NAMES
from ranking.history import History
from ranking.ragged import Doubles, lookup_sums

CREATOR_ITEMS = ITEM_FEATURE_NAMES.index("creator_items")

Columns = dict[str, NDArray[Any]]


def affinities(items: Items, history: History, owners: Longs, item_rows: Rows) -> Columns:
    """Shares of each user's decayed strength and of their interactions; unknown codes (-1) belong to no user.

    `creator_reach` is the share of a creator's items that the user has interacted with, slightly smoothed."""
    creators, languages = items.creator, items.language
    totals = history.totals[owners]
    strength = _with_code(history, creators, history.weights, owners, creators[item_rows])
    interactions = _with_code(history, creators, np.ones(len(history.items)), owners, creators[item_rows])
    spoken = _with_code(history, languages, history.weights, owners, languages[item_rows])
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


def _with_code(history: History, codes: Rows, weights: Doubles, owners: Longs, wanted: Rows) -> Doubles:
    codes_H = codes[history.items]
    known = codes_H >= 0
    sums = lookup_sums(
        pair_keys(history.owners[known], codes_H[known]), weights[known], pair_keys(owners, np.maximum(wanted, 0))
    )
    return np.where(wanted >= 0, sums, 0.0)


def _category_strength(items: Items, history: History, owners: Longs, item_rows: Rows) -> Doubles:
    """The strength on an item's categories, the mean over them; 0 for an item without any."""
    interaction, category = items.categories.where(history.items)
    pair, wanted = items.categories.where(item_rows)
    codes, wanted_codes = items.category_codes[category], items.category_codes[wanted]
    have = pair_keys(history.owners[interaction], codes)
    sums = lookup_sums(have, history.weights[interaction], pair_keys(owners[pair], wanted_codes))
    count = np.bincount(pair, minlength=len(item_rows))
    return np.bincount(pair, weights=sums, minlength=len(item_rows)) / np.maximum(count, 1)
