"""The two-tower for data of which nothing is known but who touched what, and perhaps in which order.

A person is one or several memories of what they touched, in the space of a singular value decomposition. The item space
itself can read them, plain or with EASE's shrinkage, or a ridge regression, all in closed form; or items that learn to
be summed; or a small transformer reads the touches. Where order tells nothing, people who touched the same may have a
say beside any of these, and trees may put the best items in order. `fit_memory` chooses by validation on the training
rows. Titles, creators, ages and new items need the trained towers next door.
Knows arrays alone; it must never import Spark, tracking or HTTP, and reads no disk.
"""

from models.two_tower.memory.choice import fit_memory
from models.two_tower.memory.config import READOUTS, MemoryConfig
from models.two_tower.memory.histories import Histories, histories_of
from models.two_tower.memory.order import tells_order
from models.two_tower.memory.tower import MemoryTwoTower
from models.two_tower.memory.workshop import fit

__all__ = [
    "READOUTS",
    "Histories",
    "MemoryConfig",
    "MemoryTwoTower",
    "fit",
    "fit_memory",
    "histories_of",
    "tells_order",
]
