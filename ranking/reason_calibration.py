"""From which similarity an item of the history may be named as the reason, by later clicks.

Text vectors are made of titles, so clicks can test them. In each week, a user's clicks are compared with the similarity
of the clicked items to what the user had liked before that week. `lift` is how many times as often users clicked items
of a similarity as they would by chance: a user's share of the week's clicks times an item's share.

Shapes: B users and N items of a week, P = B * N pairs, W bins of similarity.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Doubles, Longs, pair_keys
from ranking.attribution import nearest_to
from ranking.feature_arrays import Floats, Items, Rows, Users
from ranking.history import History, history_of
from ranking.pair_features import RECENT

WEEKS, WEEK_HOURS = 26, 168
MOST_USERS, MOST_ITEMS = 400, 400
"""Users and items of a week that are compared, evenly spread over them."""
BINS = 20
FEWEST_CLICKS, FEWEST_ABOVE = 50, 20
"""Clicks below which nothing is computed, and clicks at or above a similarity below which its lift is chance."""
UNCALIBRATED = 0.85
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


def calibrated(config: ReasonConfig, users: Users, items: Items, user_rows: Rows, as_of_hours: float) -> ReasonConfig:
    """The config with the similarity that the histories of these users show, unless it is set."""
    if config.min_similarity is not None:
        return config
    curve = reason_curve(users, items, user_rows, as_of_hours)
    return config.model_copy(update={"min_similarity": curve.threshold(config.min_lift)})


def reason_curve(users: Users, items: Items, user_rows: Rows, as_of_hours: float) -> ReasonCurve:
    """The clicks of the last weeks before `as_of_hours`, by similarity to what each user had liked before the week."""
    history = history_of(users, items, user_rows)
    liked = _part(history, history.weights > 0)
    clicks, expected = np.zeros(BINS, np.int64), np.zeros(BINS)
    for week in range(WEEKS):
        end = as_of_hours - week * WEEK_HOURS
        before = _part(liked, liked.hours < end - WEEK_HOURS)
        now = _part(liked, (liked.hours >= end - WEEK_HOURS) & (liked.hours < end))
        more_clicks, more_expected = _week(items, before, now)
        clicks, expected = clicks + more_clicks, expected + more_expected
    return ReasonCurve(clicks, expected)


def _week(items: Items, before: History, now: History) -> tuple[Longs, Doubles]:
    """[W] the clicks of one week, and those by chance, of users with a history on items that two of them clicked."""
    known = _part(now, before.counts[now.owners] > 0)
    rows, readers = np.unique(known.items, return_counts=True)
    owners = _spread(np.unique(known.owners), MOST_USERS)
    item_rows = _spread(rows[readers > 1], MOST_ITEMS)
    shown = _part(known, np.isin(known.owners, owners) & np.isin(known.items, item_rows))
    if not len(shown.items):
        return np.zeros(BINS, np.int64), np.zeros(BINS)
    pair_owners, pair_items = owners.repeat(len(item_rows)), np.tile(item_rows, len(owners)).astype(np.int32)
    new = ~np.isin(pair_keys(pair_owners, pair_items), pair_keys(before.owners, before.items))
    pair_owners, pair_items = pair_owners[new], pair_items[new]
    similarities = nearest_to(items, before.recent(RECENT), pair_owners, pair_items).similarities
    clicked = np.isin(pair_keys(pair_owners, pair_items), pair_keys(shown.owners, shown.items))
    users_clicks = np.bincount(pair_owners[clicked], minlength=now.users)
    items_clicks = np.bincount(pair_items[clicked], minlength=len(items.ids))
    by_chance = users_clicks[pair_owners] * items_clicks[pair_items] / max(int(clicked.sum()), 1)
    bins = _bins(similarities)
    expected = np.bincount(bins, weights=by_chance, minlength=BINS).astype(np.float64)
    return np.bincount(bins[clicked], minlength=BINS).astype(np.int64), expected


def _bins(similarities: Floats) -> Longs:
    # rounded first, so that the last bit of a cosine moves no pair to another bin
    bins: Longs = np.floor(np.round(similarities.astype(float), 4) * BINS).astype(np.int64)
    return np.clip(bins, 0, BINS - 1)


def _spread(rows: NDArray[np.int64] | NDArray[np.int32], most: int) -> Longs:
    """At most so many of the rows, evenly spread."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)].astype(np.int64)


def _part(history: History, kept: NDArray[np.bool_]) -> History:
    arrays = ("owners", "items", "weights", "hours", "ages")
    return replace(history, **{name: getattr(history, name)[kept] for name in arrays})
