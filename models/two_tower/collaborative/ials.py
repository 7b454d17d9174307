"""iALS as an encoder: a user vector is solved from the history, so that new users have one as well (fold-in)."""

# U users, B of a block, T items of a history, I items, D dimensions

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.two_tower.collaborative.sequence_batches import EMPTY, latest_window
from models.two_tower.interactions import Floats, Interactions

SLOTS_AT_ONCE = 65_536
"""Items of histories whose vectors are gathered at once."""
LONGEST_HISTORY = 4096
"""Latest interactions that a user vector is solved from."""


@dataclass(frozen=True)
class FoldIn:
    """Solves x of (Y'Y + (alpha - 1) Y_h'Y_h + regularization) x = alpha Y_h'1 for the items h of a history."""

    items_ID: Floats
    alpha: float
    regularization: float

    def __call__(self, interactions: Interactions) -> Floats:
        """[U, D]; zero for an empty history. Histories of about the same length together."""
        vectors_UD = torch.zeros(len(interactions.counts), self.items_ID.shape[1])
        items_ID = torch.from_numpy(self.items_ID)
        gram_DD = items_ID.T @ items_ID + self.regularization * torch.eye(items_ID.shape[1])
        distinct = interactions.where(interactions.is_first)
        items_UT = latest_window(distinct, LONGEST_HISTORY)
        lengths_U = (items_UT != EMPTY).sum(dim=1)
        for some_B in _blocks(lengths_U):
            history_BT = items_UT[some_B, : max(1, int(lengths_U[some_B].max()))]
            vectors_UD[some_B] = self._solved(items_ID, gram_DD, history_BT)
        return np.asarray(vectors_UD.numpy(), np.float32)

    def _solved(self, items_ID: Tensor, gram_DD: Tensor, history_BT: Tensor) -> Tensor:
        known_BTD = items_ID[history_BT.clamp(min=0)] * (history_BT != EMPTY)[..., None]
        left_BDD = gram_DD + (self.alpha - 1) * known_BTD.transpose(1, 2) @ known_BTD
        solved: Tensor = torch.linalg.solve(left_BDD, self.alpha * known_BTD.sum(dim=1))
        return solved


def _blocks(lengths_U: Tensor) -> list[Tensor]:
    """Users by length, as many at once as hold some `SLOTS_AT_ONCE` items."""
    order_U = torch.argsort(lengths_U)
    block_U = (lengths_U[order_U].clamp(min=64).cumsum(0) - 1) // SLOTS_AT_ONCE
    return [part for part in order_U.split(torch.bincount(block_U).tolist()) if len(part)] if len(order_U) else []
