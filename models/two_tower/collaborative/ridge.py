"""Ridge regression from the user states before each first interaction to the item of that interaction.

The closed form of a next-item model with every position a training example; with one state that never decays it is a
low-rank relative of SLIM and EASE (Ning & Karypis 2011; Steck 2019).
"""

# P positions, K state columns, I items

from collections.abc import Iterable

import numpy as np
import torch

from models.two_tower.collaborative.user_states import Examples
from models.two_tower.interactions import Floats


class Ridge:
    """Sums that every penalty can be solved from."""

    def __init__(self, examples: Iterable[Examples], *, columns: int, items: int) -> None:
        """Go through the training examples once; the last column is a constant, and so an item's own popularity."""
        self._gram_KK = torch.zeros(columns + 1, columns + 1, dtype=torch.float64)
        self._sums_IK = torch.zeros(items, columns + 1)
        for part in examples:
            states_PK = torch.cat([part.states_PK, torch.ones(len(part.items_P), 1)], dim=1)
            self._gram_KK += states_PK.T @ states_PK
            self._sums_IK.index_add_(0, part.items_P, states_PK)

    def solve(self, ridge: float) -> Floats:
        """[I, K + 1] the item vectors, the constant's column last."""
        gram_KK = self._gram_KK + ridge * torch.eye(len(self._gram_KK), dtype=torch.float64)
        factor_KK = torch.linalg.cholesky(gram_KK).float()
        return np.asarray(torch.cholesky_solve(self._sums_IK.T, factor_KK).T.contiguous().numpy(), np.float32)
