"""The arrays that everything is measured on.

Shapes: U measured users, K places of a list, I items of the catalogue, L labels of all users together.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from contracts.csr import KEY_SHIFT, CsrRows, Longs, offsets_of, pair_keys
from contracts.csr import Rows as Rows
from contracts.errors import BadEvaluationInput

Gains = NDArray[np.float32]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

PADDING = -1
"""What fills a list that is shorter than K."""


def _check(what: str, *, holds: bool) -> None:
    if not holds:
        raise BadEvaluationInput(what)


@dataclass(frozen=True)
class RankedLists:
    """Recommended items, best first: rows of the catalogue, padded with -1 at the end.

    Raises `BadEvaluationInput` if the shape, the padding or the items are not so, or an item comes twice.
    """

    rows: Rows  # [U, K]

    def __post_init__(self) -> None:
        """Refuse what no metric can measure."""
        rows = self.rows
        _check(f"lists have shape {rows.shape}; give [users, places]", holds=rows.ndim == 2)
        _check(f"lists hold {rows.dtype}; give int32 item rows", holds=rows.dtype == np.int32)
        _check(f"lists hold item row {rows.min(initial=0)}; use -1 for an empty place", holds=bool((rows >= -1).all()))
        gaps = ((rows[:, :-1] == PADDING) & (rows[:, 1:] != PADDING)).any(axis=1)
        _check(f"{gaps.sum()} lists have an empty place before an item; pad at the end", holds=not gaps.any())
        ordered = np.sort(rows, axis=1)
        twice = ((ordered[:, :-1] == ordered[:, 1:]) & (ordered[:, 1:] != PADDING)).any(axis=1)
        _check(f"{twice.sum()} lists hold an item twice; keep its best place", holds=not twice.any())

    @property
    def filled(self) -> Mask:
        """[U, K] where a place holds an item."""
        filled: Mask = self.rows != PADDING
        return filled

    def top(self, k: int) -> Self:
        """The first `k` places; shorter lists stay as they are. Raises where `k` is below 1."""
        _check(f"k is {k}; use at least 1", holds=k >= 1)
        return type(self)(self.rows[:, :k])


@dataclass(frozen=True)
class ItemSets(CsrRows):
    """A set of items for each user, all users side by side (compressed sparse rows)."""

    item_rows: Rows  # [L]

    def __post_init__(self) -> None:
        """Refuse offsets that do not cover the items."""
        offsets = self.offsets
        _check(f"offsets have shape {offsets.shape}; give [users + 1]", holds=offsets.ndim == 1 and len(offsets) > 0)
        covers = offsets[0] == 0 and offsets[-1] == len(self.item_rows) and bool((np.diff(offsets) >= 0).all())
        _check(f"offsets must rise from 0 to {len(self.item_rows)}, the number of items", holds=bool(covers))
        _check("sets hold a negative item row; give rows of the catalogue", holds=bool((self.item_rows >= 0).all()))
        _check("a set holds an item twice; keep one", holds=len(np.unique(self.keys)) == len(self.item_rows))

    @property
    def keys(self) -> Longs:
        """[L] one number a pair of user and item."""
        return pair_keys(self.owners, self.item_rows)

    def take(self, user_rows: Rows) -> "ItemSets":
        """The sets of these users, in this order."""
        offsets, places = self.select(user_rows)
        return ItemSets(offsets, self.item_rows[places])


@dataclass(frozen=True)
class Labels(ItemSets):
    """What each user went on to like, and how much. Gains are above zero (save 2, click 1)."""

    gains: Gains  # [L]

    def __post_init__(self) -> None:
        """Refuse gains that are not one positive number an item."""
        super().__post_init__()
        _check(
            f"{len(self.gains)} gains for {len(self.item_rows)} labels; give one each",
            holds=self.gains.shape == self.item_rows.shape,
        )
        _check("labels need gains above zero; leave the others out", holds=bool((self.gains > 0).all()))

    def take(self, user_rows: Rows) -> "Labels":
        """The labels of these users, in this order."""
        offsets, places = self.select(user_rows)
        return Labels(offsets, self.item_rows[places], self.gains[places])

    def only(self, items: Mask) -> "Labels":
        """The labels on a part of the catalogue, `items` [I]; users may be left without any."""
        kept = items[self.item_rows]
        offsets = offsets_of(kept.astype(np.int64))[self.offsets]
        return Labels(offsets, self.item_rows[kept], self.gains[kept])

    def found(self, lists: RankedLists) -> Gains:
        """[U, K] the gain of each recommended item, 0 where it is none of the user's labels."""
        rows = lists.rows
        _check(f"{len(rows)} lists for {len(self.counts)} labelled users", holds=len(rows) == len(self.counts))
        if not len(self.item_rows):
            return np.zeros(rows.shape, dtype=np.float32)
        order = np.argsort(self.keys)
        keys, gains = self.keys[order], self.gains[order]
        listed = pair_keys(np.arange(len(rows), dtype=np.int32)[:, None], rows)
        places = np.minimum(np.searchsorted(keys, listed), len(keys) - 1)
        return np.where((keys[places] == listed) & lists.filled, gains[places], np.float32(0))


def item_sets(user_rows: Rows, item_rows: Rows, users: int) -> ItemSets:
    """The distinct items of each of `users` users, from pairs in any order."""
    keys = np.unique(pair_keys(user_rows, item_rows))
    owners, items = keys // KEY_SHIFT, (keys % KEY_SHIFT).astype(np.int32)
    return ItemSets(np.searchsorted(owners, np.arange(users + 1)), items)
