"""Which memories an item follows: ridge regression from the memories before each first touch to what was touched.

The closed form of a next-item model with every position a training example; with one memory that never fades it is a
low-rank relative of SLIM and EASE (Ning & Karypis 2011; Steck 2019).
"""

# P positions, K memory columns, I items

from collections.abc import Iterable

import numpy as np
import torch

from models.two_tower.memory.histories import Floats
from models.two_tower.memory.memories import Lessons


class Readout:
    """Sums that every penalty can be solved from."""

    def __init__(self, lessons: Iterable[Lessons], *, columns: int, items: int) -> None:
        """Go through the lessons once; the last column is a constant, and so an item's own popularity."""
        self._gram_KK = torch.zeros(columns + 1, columns + 1, dtype=torch.float64)
        self._sums_IK = torch.zeros(items, columns + 1)
        for lesson in lessons:
            states_PK = torch.cat([lesson.states_PK, torch.ones(len(lesson.items_P), 1)], dim=1)
            self._gram_KK += states_PK.T @ states_PK
            self._sums_IK.index_add_(0, lesson.items_P, states_PK)

    def solve(self, ridge: float) -> Floats:
        """[I, K + 1] the item vectors, the constant's column last."""
        gram_KK = self._gram_KK + ridge * torch.eye(len(self._gram_KK), dtype=torch.float64)
        factor_KK = torch.linalg.cholesky(gram_KK).float()
        return np.asarray(torch.cholesky_solve(self._sums_IK.T, factor_KK).T.contiguous().numpy(), np.float32)
