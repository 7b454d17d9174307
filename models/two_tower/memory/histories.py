"""Who touched what, as arrays: U users, I items, E touches."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Histories:
    """All users' touches side by side, oldest first where there is an order."""

    offsets: Ints  # [U + 1]
    items: Ints  # [E] rows of the catalogue
    item_count: int

    @property
    def counts(self) -> Ints:
        """[U] touches of each user."""
        return np.diff(self.offsets)

    @property
    def users(self) -> Ints:
        """[E] the user of each touch."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def places(self) -> Ints:
        """[E] how many touches of the user came before."""
        return np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.counts)

    @property
    def first_touches(self) -> Mask:
        """[E] true where the user had not touched the item before."""
        first = np.zeros(len(self.items), bool)
        first[np.unique(self.users * self.item_count + self.items, return_index=True)[1]] = True
        return first

    @property
    def lessons(self) -> int:
        """How many first touches have a past."""
        return int((self.first_touches & (self.places > 0)).sum())

    def pairs(self) -> csr_matrix:
        """[U, I] 1 where a user touched an item."""
        shape = (len(self.counts), self.item_count)
        touched = csr_matrix((np.ones(len(self.items), np.float32), (self.users, self.items)), shape=shape)
        touched.data[:] = 1
        return touched

    def where(self, kept: Mask) -> Self:
        """Some of the touches; every user stays, if with an empty history."""
        counts = np.bincount(self.users[kept], minlength=len(self.counts))
        return replace(self, offsets=offsets_of(counts), items=self.items[kept])

    def take(self, users: Ints) -> Self:
        """The histories of some users, in this order."""
        counts = self.counts[users]
        offsets = offsets_of(counts)
        touches = np.arange(offsets[-1]) + np.repeat(self.offsets[users] - offsets[:-1], counts)
        return replace(self, offsets=offsets, items=self.items[touches])


def histories_of(user_rows: Ints, item_rows: Ints, *, users: int, items: int) -> Histories:
    """From pairs of rows in the order of time; a user may have none."""
    order = np.argsort(user_rows, kind="stable")
    counts = np.bincount(user_rows, minlength=users)
    return Histories(offsets_of(counts), item_rows[order].astype(np.int64), items)


def offsets_of(counts: Ints) -> Ints:
    """Where each user's touches begin and end."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
