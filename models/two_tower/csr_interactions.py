"""Who interacted with what, users side by side (compressed sparse rows)."""

# U users, I items, E interactions

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from contracts.csr import CsrRows, offsets_of, pair_keys

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Hours = NDArray[np.float64]
Mask = NDArray[np.bool_]

CLICK, SAVE = 1, 2
"""Codes of the actions; 0 is an empty slot."""
EMPTY = -1
"""In place of an item, in an empty slot."""


@dataclass(frozen=True)
class Interactions:
    """All users' interactions; each user's are oldest first where there is an order."""

    offsets: Ints  # [U + 1]
    items: Ints  # [E] rows of a catalogue, -1 in an empty slot
    item_count: int
    actions: Ints  # [E]
    hours: Hours  # [E] since 1970
    region: Ints  # [U]

    @property
    def counts(self) -> Ints:
        """[U] interactions of each user."""
        return np.diff(self.offsets)

    @property
    def users(self) -> Ints:
        """[E] the user of each interaction."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def places(self) -> Ints:
        """[E] how many interactions of the user came before."""
        return np.arange(len(self.items)) - np.repeat(self.offsets[:-1], self.counts)

    @property
    def pair_keys(self) -> Ints:
        """[E] one number for each pair of a user and an item."""
        return pair_keys(self.users, self.items)

    @property
    def is_first(self) -> Mask:
        """[E] true for the user's first interaction with the item."""
        first = np.zeros(len(self.items), bool)
        first[np.unique(self.pair_keys, return_index=True)[1]] = True
        return first

    @property
    def targets(self) -> int:
        """How many first interactions have a history to be predicted from."""
        return int((self.is_first & (self.places > 0)).sum())

    def pairs(self) -> csr_matrix:
        """[U, I] 1 where a user interacted with an item."""
        shape = (len(self.counts), self.item_count)
        matrix = csr_matrix((np.ones(len(self.items), np.float32), (self.users, self.items)), shape=shape)
        matrix.data[:] = 1
        return matrix

    def where(self, kept: Mask) -> Self:
        """Some of the interactions; every user stays, if with an empty history."""
        counts = np.bincount(self.users[kept], minlength=len(self.counts))
        some = self._at(np.flatnonzero(kept))
        return replace(some, offsets=offsets_of(counts))

    def take(self, users: Ints) -> Self:
        """The interactions of some users, in this order."""
        offsets, at = CsrRows(self.offsets).select(users)
        return replace(self._at(at), offsets=offsets, region=self.region[users])

    def before(self, hours: float) -> Self:
        """Only what happened strictly before an instant; every user stays."""
        return self.where(self.hours < hours)

    def with_moment(self, hours: float) -> Self:
        """With an empty slot at the end of each user: the moment for which a vector is wanted."""
        ends = self.offsets[1:]
        return replace(
            self,
            offsets=self.offsets + np.arange(len(self.offsets)),
            items=np.insert(self.items, ends, -1),
            actions=np.insert(self.actions, ends, 0),
            hours=np.insert(self.hours, ends, hours),
        )

    def recoded(self, code_I: Ints, item_count: int) -> Self:
        """With other rows for items: `code_I` gives the new one of each, negative for items to leave out."""
        codes = code_I[self.items]
        recoded = replace(self, items=codes, item_count=item_count)
        return recoded if (codes >= 0).all() else recoded.where(codes >= 0)

    def _at(self, at: Ints) -> Self:
        return replace(self, items=self.items[at], actions=self.actions[at], hours=self.hours[at])


def latest_window(interactions: Interactions, length: int) -> Tensor:
    """[U, T] the last items of each user; an empty history is `EMPTY` alone."""
    kept_U = np.minimum(interactions.counts, length)
    items_UT = np.full((len(kept_U), max(1, int(kept_U.max(initial=0)))), EMPTY)
    there_UT = np.arange(items_UT.shape[1]) < kept_U[:, None]
    event_UT = (interactions.offsets[1:] - kept_U)[:, None] + np.arange(items_UT.shape[1])
    items_UT[there_UT] = interactions.items[event_UT[there_UT]]
    return torch.from_numpy(items_UT)
