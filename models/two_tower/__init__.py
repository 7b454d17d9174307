"""The two-tower retrieval: users and items as vectors whose inner product says what a person wants next.

Knows arrays and tables of the contract alone; it must never import Spark, tracking or HTTP, and reads no disk but in
`exported`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from models.two_tower.config import TextConfig, TwoTowerConfig

if TYPE_CHECKING:
    from models.two_tower.exported import export, load
    from models.two_tower.text import TextEmbedder, fit_text
    from models.two_tower.trained import TrainedTwoTower, train
    from models.two_tower.validation import EpochResult

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

_HOMES = {
    "EpochResult": "validation",
    "TextEmbedder": "text",
    "TrainedTwoTower": "trained",
    "export": "exported",
    "fit_text": "text",
    "load": "exported",
    "train": "trained",
}


def __getattr__(name: str) -> Any:
    """What needs torch, when it is asked for (PEP 562): every command reads the config, and few train."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
