"""Fatigue: an item that a user was shown again and again, and left alone, is demoted and then left out.

Shapes: B users, N pairs of a user and an item that was shown, P pairs to be ranked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import CsrRows, Doubles, Longs, pair_keys
from ranking.feature_arrays import Candidates, Floats, Rows


class FatigueConfig(BaseModel):
    """How much of an item's relevance is left after impressions without an interaction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    discount: float = Field(0.1, ge=0, le=1, description="share of the relevance that each impression takes")
    limit: int = Field(10, ge=0, description="impressions after which an item is left out; 0 is never")
    repeat_minutes: float = Field(30, ge=0, description="minutes after an impression in which an item comes last")

    def remaining(self, impressions: Longs) -> Floats:
        """The share of the relevance that is left; 0 leaves an item out."""
        left = (1.0 - self.discount) ** impressions.astype(float)
        return np.where((impressions >= self.limit) & (self.limit > 0), 0.0, left).astype(np.float32)


DEFAULT_FATIGUE = FatigueConfig()


@dataclass(frozen=True)
class ShownItems:
    """What B users were shown, each pair once."""

    places: Rows  # [N] position of the user among the B users
    items: Rows  # [N]
    remaining: Floats  # [N] share of the relevance that is left; 0: left out
    recent: NDArray[np.bool_]  # [N] shown moments ago: comes after everything else
    impressions: Longs  # [N]
    hours: Doubles  # [N] hours since 1970 of the last one, NaN where unknown

    def of_pairs(self, candidates: Candidates, user_rows: Rows) -> "PairFatigue":
        """The fatigue of each candidate of the B users `user_rows`."""
        at, shown = self.where(candidates, user_rows)
        return PairFatigue(
            np.where(shown, self.remaining[at], 1).astype(np.float32), np.asarray(shown & self.recent[at])
        )

    def where(self, candidates: Candidates, user_rows: Rows) -> tuple[Longs, NDArray[np.bool_]]:
        """[P] the position of each candidate in these arrays, and whether it was shown at all."""
        place_of = np.zeros(int(user_rows.max(initial=0)) + 1, np.int64)
        place_of[user_rows] = np.arange(len(user_rows))
        want = pair_keys(place_of[candidates.user_rows], candidates.item_rows)
        have = pair_keys(self.places, self.items)
        order = np.argsort(have)
        at = order[np.minimum(np.searchsorted(have, want, sorter=order), len(have) - 1)]
        return at, np.asarray(have[at] == want)


@dataclass(frozen=True)
class PairFatigue:
    """The fatigue of pairs to be ranked."""

    remaining: Floats  # [P]
    recent: NDArray[np.bool_]  # [P]

    def taken(self, which: NDArray[np.bool_]) -> "PairFatigue":
        """Some of the pairs."""
        return PairFatigue(self.remaining[which], self.recent[which])


def shown_items(of_users: Sequence["UserShown"], config: FatigueConfig) -> ShownItems | None:
    """What B users were shown, where any of them was shown anything."""
    if not any(len(each.items) for each in of_users):
        return None
    lengths = [len(each.items) for each in of_users]
    return ShownItems(
        np.repeat(np.arange(len(of_users), dtype=np.int32), lengths),
        np.concatenate([each.items for each in of_users]).astype(np.int32),
        config.remaining(np.concatenate([each.impressions for each in of_users])),
        np.concatenate([each.recent for each in of_users]),
        np.concatenate([each.impressions for each in of_users]),
        np.concatenate([each.hours for each in of_users]),
    )


@dataclass(frozen=True)
class UserImpressions:
    """How often each user of a release was shown an item and left it alone, in the weeks before the release."""

    offsets: Longs  # [U + 1] into the arrays below
    items: Rows  # rows of Items
    counts: Rows
    hours: Doubles | None = None
    """Hours since 1970 of the last impression; releases of before have none."""
    click_rates: Floats | None = None
    """[I] the share of users that an item was shown to and who clicked or saved it, smoothed."""

    def of(self, user_row: int) -> dict[int, int]:
        """The impressions of one user, by item row."""
        own = slice(*self.offsets[user_row : user_row + 2])
        return dict(zip(self.items[own].tolist(), self.counts[own].tolist(), strict=True))

    def shown_to(self, user_rows: Rows | Longs) -> ShownItems:
        """What some users were shown, without any fatigue."""
        some = self.select(user_rows)
        count = len(some.items)
        return ShownItems(
            np.repeat(np.arange(len(user_rows), dtype=np.int32), np.diff(some.offsets)),
            some.items,
            np.ones(count, np.float32),
            np.zeros(count, bool),
            some.counts.astype(np.int64),
            np.full(count, np.nan) if some.hours is None else some.hours,
        )

    def select(self, user_rows: Rows | Longs) -> "UserImpressions":
        """Those of some users."""
        offsets, positions = CsrRows(self.offsets).select(user_rows)
        hours = None if self.hours is None else self.hours[positions]
        return UserImpressions(offsets, self.items[positions], self.counts[positions], hours, self.click_rates)

    def last_hours(self, user_row: int) -> dict[int, float]:
        """When one user was last shown each item, by item row."""
        own = slice(*self.offsets[user_row : user_row + 2])
        hours = np.full(len(self.items[own]), np.nan) if self.hours is None else self.hours[own]
        return dict(zip(self.items[own].tolist(), hours.tolist(), strict=True))


@dataclass(frozen=True)
class UserShown:
    """What one user was shown, each item once."""

    items: Rows  # [N]
    impressions: Longs  # [N]
    recent: NDArray[np.bool_]  # [N] shown moments ago
    hours: Doubles  # [N] hours since 1970 of the last impression, NaN where unknown
