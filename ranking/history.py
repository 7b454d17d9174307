"""The interactions of some users, as flat arrays with an owner each.

Shapes: B users (each once), H items that they interacted with.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from contracts.csr import Doubles, Longs
from ranking.feature_arrays import Items, Rows, Users

SAVE_WEIGHT = 2.0
"""What a save's strength weighs beside a click's."""


@dataclass(frozen=True)
class History:
    """Interactions of B users, each user's oldest first; `weights` are 0 for items that were only hidden."""

    users: int  # B
    owners: Longs  # [H] position of the user among the B users
    items: Rows  # [H]
    weights: Doubles  # [H] decayed strength, a save's counted more
    hours: Doubles  # [H] hours since 1970 of the last interaction
    ages: Doubles  # [H] hours from the item's creation to that interaction, NaN where unknown

    @cached_property
    def totals(self) -> Doubles:
        """[B] all strength of each user."""
        totals: Doubles = np.bincount(self.owners, weights=self.weights, minlength=self.users).astype(np.float64)
        return totals

    @cached_property
    def counts(self) -> Longs:
        """[B] distinct items of each user's history."""
        return np.bincount(self.owners, minlength=self.users)

    @cached_property
    def last_hours(self) -> Doubles:
        """[B] hours since 1970 of each user's last interaction, NaN without any."""
        last = np.full(self.users, -np.inf)
        np.maximum.at(last, self.owners, self.hours)
        return np.where(np.isinf(last), np.nan, last)

    def recent(self, count: int) -> "History":
        """Only the last `count` liked items of each user; a hidden item is not liked."""
        liked = np.flatnonzero(self.weights > 0)
        owners = self.owners[liked]
        from_end = np.searchsorted(owners, owners, side="right") - np.arange(len(owners))
        kept = liked[from_end <= count]
        return History(
            self.users, self.owners[kept], self.items[kept], self.weights[kept], self.hours[kept], self.ages[kept]
        )


def history_of(users: Users, items: Items, user_rows: Rows) -> History:
    """The histories of some users, B = len(user_rows)."""
    owners, at = users.history.where(user_rows)
    item_rows, hours = users.history_items[at], users.history_hours[at]
    weights = SAVE_WEIGHT * users.history_saves[at].astype(float) + users.history_clicks[at]
    return History(len(user_rows), owners, item_rows, weights, hours, hours - items.created_hours[item_rows])
