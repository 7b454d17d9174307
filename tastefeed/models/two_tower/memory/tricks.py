"""Tricks that a fit can go without, so that a benchmark may show what each is worth."""

from collections.abc import Sequence
from typing import Any

from tastefeed.contracts.errors import UnknownMethod
from tastefeed.models.two_tower.memory.config import MemoryConfig

TRICKS: dict[str, dict[str, dict[str, Any]]] = {
    "beginning": {"attention": {"begins": "noise"}, "bag": {"begins": "noise"}},
    "distances": {"attention": {"distances": False}},
    "dropout": {"attention": {"dropout": 0.0}},
    "smoothing": {"bag": {"smoothed": False}},
}
"""By name, the settings of a config's parts with which it is gone."""


def going_without(config: MemoryConfig, tricks: Sequence[str]) -> MemoryConfig:
    """The config without these tricks. Raises `UnknownMethod` for one that is none."""
    for trick in tricks:
        if trick not in TRICKS:
            raise UnknownMethod(f"no trick is called {trick}; choose of {', '.join(TRICKS)}")
        for part, change in TRICKS[trick].items():
            config = config.model_copy(update={part: getattr(config, part).model_copy(update=change)})
    return config
