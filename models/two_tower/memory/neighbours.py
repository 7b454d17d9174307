"""People who touched the same, and what else they touched: a walk of three steps on sparse vectors.

What all low ranks smooth away is here: an item of ten people has no direction of its own in a space of a thousand, and
yet its ten people tell well who is next. The walk is RP3beta (Paudel et al. 2016, "Updatable, accurate, diverse, and
scalable recommendations for interactive applications"); close people count more than their share, the locality of
Aiolli (2013, "Efficient top-N recommendation for very large scale binary rated datasets").
"""

# A asked people, U users who were learned from, I items

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor

from models.two_tower.memory.config import NeighboursConfig
from models.two_tower.memory.graph import sparse
from models.two_tower.memory.histories import Floats, Histories

MANY = 0.05
"""Share of all users close to a person from which a dense product is the faster one."""
CLOSE_AT_ONCE = 32_000_000
"""Pairs of an asked person and a user whose closeness is held in memory."""


@dataclass(frozen=True)
class Neighbours:
    """Two sparse towers over the users: people are whom they are close to, items are who touched them."""

    nearer_IU: csr_matrix  # how much closer a touch of each item brings to each user
    touched_UI: csr_matrix
    touched_IU: Tensor
    closeness_power: float

    def scores(self, histories: Histories) -> Floats:
        """[A, I]; zero for whoever touched nothing."""
        people = np.arange(len(histories.counts))
        parts = np.array_split(people, -(-len(people) * self.touched_UI.shape[0] // CLOSE_AT_ONCE) or 1)
        return np.concatenate([self._scores(histories.take(part)) for part in parts])

    def _scores(self, histories: Histories) -> Floats:
        close_AU = (histories.pairs() @ self.nearer_IU).astype(np.float32).power(self.closeness_power)
        if close_AU.nnz <= MANY * close_AU.shape[0] * close_AU.shape[1]:
            return np.asarray((close_AU @ self.touched_UI).toarray())
        return np.ascontiguousarray((self.touched_IU @ torch.from_numpy(close_AU.T.toarray())).T.numpy())


def neighbours_of(histories: Histories, config: NeighboursConfig) -> Neighbours:
    """Everybody is a neighbour of whoever touched one of their items."""
    pairs_UI = histories.pairs()
    items_U, users_I = (np.maximum(np.asarray(pairs_UI.sum(axis=axis)).ravel(), 1) for axis in (1, 0))
    nearer_IU = (diags(users_I**-config.item_power) @ pairs_UI.T @ diags(items_U**-config.user_power)).tocsr()
    touched_UI = (pairs_UI @ diags(users_I**config.popularity_power)).astype(np.float32).tocsr()
    return Neighbours(nearer_IU, touched_UI, sparse(touched_UI.T), config.closeness_power)
