"""The two-tower for data of which nothing is known but who touched what, and perhaps in which order.

A user is one or several decayed sums of item vectors in the space of a singular value decomposition, read by the item
space itself (plain or with EASE's shrinkage), by a ridge regression, by a learned bag of items, or by a causal
transformer. `fit_memory` selects by validation on the training rows. Every score is an inner product.
Knows arrays alone; it must never import Spark, tracking or HTTP, and reads no disk.
"""

from tastefeed.models.two_tower.memory.choice import fit_memory
from tastefeed.models.two_tower.memory.config import READOUTS, MemoryConfig
from tastefeed.models.two_tower.memory.histories import Histories, histories_of
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower
from tastefeed.models.two_tower.memory.workshop import fit

__all__ = [
    "READOUTS",
    "Histories",
    "MemoryConfig",
    "MemoryTwoTower",
    "fit",
    "fit_memory",
    "histories_of",
]
