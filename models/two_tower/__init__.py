"""The two-tower retrieval: users and items as vectors whose inner product is the score. `train` is the way to one.

Imports contracts and evaluation alone, never Spark, tracking or HTTP, and reads no disk but in `exported`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from models.two_tower.two_tower_config import TextConfig, TwoTowerConfig

if TYPE_CHECKING:
    from models.two_tower.exported import export, load
    from models.two_tower.selection import Selection
    from models.two_tower.text import TextEmbedder, fit_text
    from models.two_tower.trained import TrainedTwoTower, train
    from models.two_tower.training_loop import Deadline, EpochResult, RunWith

__all__ = [
    "Deadline",
    "EpochResult",
    "RunWith",
    "Selection",
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
    "Deadline": "training_loop",
    "EpochResult": "training_loop",
    "RunWith": "training_loop",
    "Selection": "selection",
    "TextEmbedder": "text",
    "TrainedTwoTower": "trained",
    "export": "exported",
    "fit_text": "text",
    "load": "exported",
    "train": "trained",
}


def __getattr__(name: str) -> Any:
    """Names that need torch, imported on first use (PEP 562): every command reads the config, and few train."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
