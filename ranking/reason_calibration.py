"""From which similarity an item of the history may be named as the reason, by held-out clicks.

The clicks of each label week are compared with the similarity of the clicked items to what the user had liked before.
Titles and vectors are those of the week's start, so they use none of its clicks. `lift` is how many times as often
users clicked items of a similarity as they would by chance: a user's share of the week's clicks times an item's share.

Shapes: C clicks, B users and N items of a week, P = B * N pairs, W bins of similarity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Doubles, Longs, pair_keys
from ranking.attribution import nearest_to
from ranking.feature_arrays import Floats, Items, Rows, Users
from ranking.history import history_of
from ranking.pair_features import RECENT

MOST_USERS, MOST_ITEMS = 400, 400
"""Users and items of a week that are compared, evenly spread over them."""
BINS = 20
FEWEST_CLICKS, FEWEST_ABOVE = 50, 20
"""Clicks below which nothing is computed, and clicks at or above a similarity below which its lift is chance."""
UNCALIBRATED = 0.5
"""The similarity where the data is too little to compute one: that of the bundled data."""


class ReasonConfig(BaseModel):
    """When an item of the user's history is named as the reason of another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_similarity: float | None = Field(
        None, ge=0, le=1, description="cosine from which an item is named; unset: the night computes it"
    )
    min_lift: float = Field(1.5, gt=0, description="clicks at that similarity, over those by chance")

    @property
    def threshold(self) -> float:
        """The cosine from which an item is named."""
        return UNCALIBRATED if self.min_similarity is None else self.min_similarity


@dataclass(frozen=True)
class ReasonCurve:
    """Clicks by the similarity of the item to the user's history; bins of equal width from 0, which holds what is
    below, to 1."""

    clicks: Longs  # [W]
    expected: Doubles  # [W] clicks by chance

    @property
    def similarities(self) -> Doubles:
        """[W] where each bin begins."""
        return np.arange(BINS) / BINS

    @property
    def lift(self) -> Doubles:
        """[W] clicks over clicks by chance, as the nearest curve that never falls."""
        from scipy.optimize import isotonic_regression  # noqa: PLC0415  the server never computes it

        raw = np.divide(self.clicks, self.expected, out=np.zeros(BINS), where=self.expected > 0)
        return np.asarray(isotonic_regression(raw, weights=np.maximum(self.expected, 1e-9)).x)

    def threshold(self, min_lift: float) -> float | None:
        """The least similarity with this lift; 1 where none has it, None where too few clicks could show it."""
        if self.clicks.sum() < FEWEST_CLICKS:
            return None
        enough = self.clicks[::-1].cumsum()[::-1] >= FEWEST_ABOVE
        reached = np.flatnonzero((self.lift >= min_lift) & enough)
        return float(self.similarities[reached[0]]) if len(reached) else 1.0


NO_CLICKS = ReasonCurve(np.zeros(BINS, np.int64), np.zeros(BINS))


def reason_curve(weeks: Sequence[ReasonCurve]) -> ReasonCurve:
    """The clicks of several weeks together."""
    counted = [NO_CLICKS, *weeks]
    return ReasonCurve(
        np.sum([week.clicks for week in counted], axis=0), np.sum([week.expected for week in counted], axis=0)
    )


def reason_week(users: Users, items: Items, user_rows: Rows, item_rows: Rows) -> ReasonCurve:
    """The clicks of a week, [C] pairs of user and item, on items that two users clicked. The arrays are those at the
    start of the week; users without a history are left out."""
    asked, owners = np.unique(user_rows, return_inverse=True)
    before = history_of(users, items, asked)
    rows, readers = np.unique(item_rows, return_counts=True)
    compared = _spread(np.flatnonzero(before.recent(RECENT).counts > 0), MOST_USERS)
    clicked_items = _spread(rows[readers > 1], MOST_ITEMS)
    pair_owners = compared.repeat(len(clicked_items))
    pair_items = np.tile(clicked_items, len(compared)).astype(np.int32)
    new = ~np.isin(pair_keys(pair_owners, pair_items), pair_keys(before.owners, before.items))
    pair_owners, pair_items = pair_owners[new], pair_items[new]
    if not len(pair_owners):
        return NO_CLICKS
    bins = _bins(nearest_to(items, before.recent(RECENT), pair_owners, pair_items).similarities)
    clicked = np.isin(pair_keys(pair_owners, pair_items), pair_keys(owners, item_rows))
    of_user = np.bincount(pair_owners[clicked], minlength=len(asked))
    of_item = np.bincount(pair_items[clicked], minlength=len(items.ids))
    by_chance = of_user[pair_owners] * of_item[pair_items] / max(int(clicked.sum()), 1)
    expected = np.bincount(bins, weights=by_chance, minlength=BINS).astype(np.float64)
    return ReasonCurve(np.bincount(bins[clicked], minlength=BINS).astype(np.int64), expected)


def _bins(similarities: Floats) -> Longs:
    # rounded first, so that the last bit of a cosine moves no pair to another bin
    bins: Longs = np.floor(np.round(similarities.astype(float), 4) * BINS).astype(np.int64)
    return np.clip(bins, 0, BINS - 1)


def _spread(rows: NDArray[np.int64] | NDArray[np.int32], most: int) -> Longs:
    """At most so many of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)].astype(np.int64)
