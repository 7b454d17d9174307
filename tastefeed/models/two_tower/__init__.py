"""The two-tower retrieval: users and items as vectors whose inner product says what a person wants next.

Knows arrays and tables of the contract alone; it must never import Spark, tracking or HTTP, and reads no disk but in
`export` and `load`.
"""

from tastefeed.models.two_tower.config import TextConfig, TwoTowerConfig
from tastefeed.models.two_tower.export import export, load
from tastefeed.models.two_tower.text import TextEmbedder, fit_text
from tastefeed.models.two_tower.train import TrainedTwoTower, train
from tastefeed.models.two_tower.validation import EpochResult

__all__ = [
    "EpochResult",
    "TextConfig",
    "TextEmbedder",
    "TrainedTwoTower",
    "TwoTowerConfig",
    "export",
    "fit_text",
    "load",
    "train",
]
