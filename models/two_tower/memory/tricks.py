"""Tricks that a fit can go without, so that a benchmark may show what each is worth."""

from collections.abc import Sequence

from contracts.errors import UnknownMethod
from models.two_tower.memory.config import Change, MemoryConfig

TRICKS: dict[str, Change] = {
    "beginning": {"attention": {"begins": "noise"}, "bag": {"begins": "noise"}},
    "distances": {"attention": {"distances": False}},
    "dropout": {"attention": {"dropout": 0.0}},
}
"""By name, the settings of a config's parts with which it is gone."""


def going_without(config: MemoryConfig, tricks: Sequence[str]) -> MemoryConfig:
    """The config without these tricks. Raises `UnknownMethod` for one that is none."""
    for trick in tricks:
        if trick not in TRICKS:
            raise UnknownMethod(f"no trick is called {trick}; choose of {', '.join(TRICKS)}")
        config = config.changed(TRICKS[trick])
    return config
