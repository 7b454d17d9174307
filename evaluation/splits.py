"""Splits in time: the history strictly before a cutoff, and the items that users like after it.

Shapes: N events, U measured users, I items of the catalogue. Instants are numpy `datetime64[us]`, UTC; NaT is unknown.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from contracts import Action
from contracts import columns as c
from contracts.csr import pair_keys
from contracts.errors import BadEvaluationInput
from contracts.event_rules import GAIN
from evaluation.rankings import Gains, ItemSets, Labels, Mask, Rows, item_sets

Instants = NDArray[np.datetime64]
Ids = NDArray[np.object_]
"""Python text: in fixed-width text one long id makes every id as long."""
UNDONE_AT = "undone_at"


@dataclass(frozen=True)
class Events:
    """Clicks, saves and hides as arrays. A hide has gain 0: it is an interaction until it is undone, and never a label.
    An unhide is no interaction."""

    user_rows: Rows  # [N]
    item_rows: Rows  # [N]
    timestamps: Instants  # [N]
    gains: Gains  # [N]
    undone_at: Instants  # [N] the unhide that undoes a hide; unknown for other events
    user_count: int
    item_count: int

    def where(self, kept: Mask) -> "Events":
        """The events of a mask [N]."""
        return replace(
            self,
            user_rows=self.user_rows[kept],
            item_rows=self.item_rows[kept],
            timestamps=self.timestamps[kept],
            gains=self.gains[kept],
            undone_at=self.undone_at[kept],
        )

    def between(self, start: datetime | None, end: datetime) -> "Events":
        """The events at `start` or later, and strictly before `end`."""
        after = self.timestamps >= instant(start) if start else np.ones(len(self.timestamps), dtype=bool)
        return self.where(after & (self.timestamps < instant(end)))

    def before(self, cutoff: datetime) -> "Events":
        """The events strictly before `cutoff`, without the hides that had been undone by then."""
        return self.where((self.timestamps < instant(cutoff)) & ~(self.undone_at < instant(cutoff)))

    @cached_property
    def interacted(self) -> ItemSets:
        """The distinct items that each user has interacted with."""
        return item_sets(self.user_rows, self.item_rows, self.user_count)


@dataclass(frozen=True)
class Catalogue:
    """The item data that the protocol needs: creation, removal, creator (-1 unknown), and what no list may hold."""

    created_at: Instants  # [I]
    removed_at: Instants  # [I]
    creators: Rows  # [I]
    excluded: Mask | None = None  # [I] opted out of recommendation

    def rankable(self, cutoff: datetime) -> Mask:
        """[I] items that exist at `cutoff`: created before it (or at an unknown time) and not removed by then. Without
        excluded ones, which no method may list: as labels, they would count against the methods that respect it."""
        created = np.isnat(self.created_at) | (self.created_at < instant(cutoff))
        exists = created & (np.isnat(self.removed_at) | (self.removed_at > instant(cutoff)))
        return exists if self.excluded is None else exists & ~self.excluded


@dataclass(frozen=True)
class Holdout:
    """The history of users before `cutoff`, and the items that they like between `cutoff` and `end`."""

    cutoff: datetime
    end: datetime
    history: Events
    rankable: Mask  # [I]
    user_rows: Rows  # [U] users with a history and at least one label
    labels: Labels  # [U]


def instant(moment: datetime) -> np.datetime64:
    """`moment` as a numpy instant. Raises `BadEvaluationInput` where it has no time zone."""
    if moment.tzinfo is None:
        raise BadEvaluationInput(f"{moment.isoformat()} has no time zone; give UTC")
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def hold_out(events: Events, catalogue: Catalogue, cutoff: datetime, *, days: int = 7) -> Holdout:
    """Split at `cutoff`. A label is an item that a user with a history clicks or saves in the next `days`. The item is
    new to the user and existed at `cutoff`; the gain is that of the strongest action.
    """
    end = cutoff + timedelta(days=days)
    history, later = events.before(cutoff), events.between(cutoff, end)
    rankable = catalogue.rankable(cutoff)
    has_history = np.bincount(history.user_rows, minlength=events.user_count) > 0
    fresh = ~np.isin(pair_keys(later.user_rows, later.item_rows), history.interacted.keys)
    liked = later.where(fresh & (later.gains > 0) & has_history[later.user_rows] & rankable[later.item_rows])
    labels = _strongest(liked)
    user_rows = np.flatnonzero(labels.counts).astype(np.int32)
    return Holdout(cutoff, end, history, rankable, user_rows, labels.take(user_rows))


def _strongest(events: Events) -> Labels:
    sets = events.interacted
    gains = np.zeros(len(sets.item_rows), dtype=np.float32)
    np.maximum.at(gains, np.searchsorted(sets.keys, pair_keys(events.user_rows, events.item_rows)), events.gains)
    return Labels(sets.offsets, sets.item_rows, gains)


def events_from(events: pl.DataFrame, user_ids: Ids, item_ids: Ids) -> Events:
    """The `events` table in rows of `user_ids` and `item_ids`. Impressions and unhides show no taste and are left out.
    So are users and items that the ids lack (opted out, not in the catalogue).
    """
    coded = (
        _with_undone_at(events.filter(pl.col(c.ACTION) != Action.IMPRESSION.value))
        .filter(pl.col(c.ACTION) != Action.UNHIDE.value)
        .join(_rows(c.USER_ID, user_ids), on=c.USER_ID, how="inner")
        .join(_rows(c.ITEM_ID, item_ids), on=c.ITEM_ID, how="inner")
        .with_columns(pl.col(c.ACTION).replace_strict(GAIN, default=0, return_dtype=pl.Float32))
        .sort(c.TIMESTAMP, f"{c.USER_ID}_row", f"{c.ITEM_ID}_row")
    )
    user_rows, item_rows, gains = (
        coded[name].to_numpy() for name in (f"{c.USER_ID}_row", f"{c.ITEM_ID}_row", c.ACTION)
    )
    instants, undone = _instants(coded[c.TIMESTAMP]), _instants(coded[UNDONE_AT])
    return Events(user_rows, item_rows, instants, gains, undone, len(user_ids), len(item_ids))


def _with_undone_at(events: pl.DataFrame) -> pl.DataFrame:
    """Add the first unhide of the same item at a hide or after it; an unhide at the same instant undoes the hide."""
    is_hide, is_unhide = (pl.col(c.ACTION) == action.value for action in (Action.HIDE, Action.UNHIDE))
    next_unhide = pl.when(is_unhide).then(c.TIMESTAMP).backward_fill().over(c.USER_ID, c.ITEM_ID)
    in_order = events.sort(c.TIMESTAMP, is_unhide, maintain_order=True)
    return in_order.with_columns(pl.when(is_hide).then(next_unhide).alias(UNDONE_AT))


def catalogue_from(items: pl.DataFrame, excluded: Mask | None = None) -> Catalogue:
    """The `items` table, one row an item in its order; creators are numbered by name."""
    creators = items[c.CREATOR_ID].rank("dense").cast(pl.Int32).fill_null(0).to_numpy() - 1
    created_at, removed_at = _instants(items[c.CREATED_AT]), _instants(items[c.REMOVED_AT])
    return Catalogue(created_at, removed_at, creators.astype(np.int32), excluded)


def _rows(name: str, ids: Ids) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(ids, dtype=pl.String), f"{name}_row": np.arange(len(ids), dtype=np.int32)})


def _instants(times: pl.Series) -> Instants:
    return times.cast(pl.Datetime("us")).to_numpy().astype("datetime64[us]")


LEAST_ROWS = 3
"""A user with fewer rows has nothing left to learn from once a test and a validation row are gone."""


@dataclass(frozen=True)
class RowSplit:
    """Training rows and evaluated rows, in the order of the input."""

    train: pl.DataFrame
    held_out: pl.DataFrame


def leave_one_out(ordered: pl.DataFrame) -> tuple[RowSplit, RowSplit]:
    """The test split, and the validation split of its training rows: the last and second last row of each user
    (He et al. 2017, doi:10.1145/3038912.3052569).

    `ordered` has each user's rows oldest first. Users with fewer than three rows are in neither held-out part.
    """
    askable = pl.len().over(c.USER_ID) >= LEAST_ROWS
    from_end = pl.int_range(pl.len(), 0, -1).over(c.USER_ID)
    test, validation = askable & (from_end == 1), askable & (from_end == 2)
    return (
        RowSplit(ordered.filter(~test), ordered.filter(test)),
        RowSplit(ordered.filter(~test & ~validation), ordered.filter(validation)),
    )


def random_out(pairs: pl.DataFrame, *, share: float, seed: int) -> RowSplit:
    """A seeded random `share` of the rows held out: the validation of data without any time."""
    if not 0 < share < 1:
        raise BadEvaluationInput(f"a share of {share} was asked for; give one between 0 and 1")
    held_out = np.zeros(pairs.height, dtype=bool)
    chosen = np.random.default_rng(seed).permutation(pairs.height)[: round(share * pairs.height)]
    held_out[chosen] = True
    return RowSplit(pairs.filter(~held_out), pairs.filter(held_out))
