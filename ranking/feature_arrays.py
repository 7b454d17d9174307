"""The re-ranker's data of users and items as of one cutoff, as arrays; a release stores exactly these.

Shapes: U users, I items, D size of a retrieval vector, T of a text vector, H history items of all users together.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contracts.csr import CsrRows
from contracts.csr import Rows as Rows

Floats = NDArray[np.float32]
Hours = NDArray[np.float64]
Ids = NDArray[np.object_]
"""Ids as Python text: in NumPy's fixed-width text one long id makes every id as long, and a trailing NUL is lost."""


def ids_of(values: Iterable[str]) -> Ids:
    """[N] ids as an array."""
    listed = list(values)
    ids: Ids = np.empty(len(listed), object)
    ids[:] = listed
    return ids


def marked(ids: Ids, chosen: Set[str]) -> NDArray[np.bool_]:
    """[N] whether each id is among the chosen ones."""
    return np.fromiter((id_ in chosen for id_ in ids), bool, len(ids))


@dataclass(frozen=True)
class Items:
    """The catalogue: one row an item. Codes are positions in a release's vocabularies; -1 is unknown."""

    ids: Ids  # [I]
    creator: Rows  # [I]
    language: Rows  # [I]
    category_offsets: NDArray[np.int64]  # [I + 1] into category_codes
    category_codes: Rows
    created_hours: Hours  # [I] hours since 1970, NaN where unknown
    vectors: Floats  # [I, D] item tower
    text_vectors: Floats  # [I, T] unit length, zero where there is no title
    features: Floats  # [I, F] in the order of ITEM_FEATURE_NAMES

    @cached_property
    def has_titles(self) -> bool:
        """Whether any item has a title."""
        return bool(self.text_vectors.any())

    @property
    def categories(self) -> CsrRows:
        """Where the category codes of each item are."""
        return CsrRows(self.category_offsets)


@dataclass(frozen=True)
class Users:
    """Users that are allowed to have a vector. The history holds clicked, saved and hidden items, oldest first."""

    ids: Ids  # [U]
    region: Rows  # [U]
    vectors: Floats  # [U, D] user tower
    features: Floats  # [U, F] in the order of USER_FEATURE_NAMES
    history_offsets: NDArray[np.int64]  # [U + 1] into the arrays below
    history_items: Rows  # [H] rows of Items
    history_saves: Floats  # [H] save_strength
    history_clicks: Floats  # [H] click_strength
    history_hours: Hours  # [H] hours since 1970 of the last interaction

    @property
    def history(self) -> CsrRows:
        """Where the history of each user is."""
        return CsrRows(self.history_offsets)


@dataclass(frozen=True)
class Candidates:
    """Pairs to be ranked, those of one user side by side. `sources` is a bit set over SOURCES."""

    user_rows: Rows  # [P]
    item_rows: Rows  # [P]
    sources: NDArray[np.uint8]  # [P]
    retrieval_scores: Floats  # [P] dot of user and item vector, also for items that another source brought


SOURCES = ("two_tower", "fresh", "popular")
"""Where a candidate came from, in the order of the bits."""
