"""One fit, or many of the same histories: what several configs share is computed once."""

import math
from dataclasses import dataclass, field

from tastefeed.models.two_tower.memory.config import MemoryConfig
from tastefeed.models.two_tower.memory.fitting import (
    Measure,
    beside_space,
    by_attention,
    by_bag,
    by_ridge,
    by_space,
    ridge_of,
    space_of,
)
from tastefeed.models.two_tower.memory.histories import Histories
from tastefeed.models.two_tower.memory.readout import Readout
from tastefeed.models.two_tower.memory.space import ItemSpace
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower


def fit(histories: Histories, config: MemoryConfig, *, seed: int) -> MemoryTwoTower:
    """Fit one config to all histories. Raises `UntrainableInput` where the histories are empty, or where attention is
    asked for and no history holds two items."""
    return Workshop(histories, seed).tower(config)


@dataclass
class Workshop:
    """Fits configs to the same histories; what several of them share is kept while its settings stay."""

    histories: Histories
    seed: int
    measure: Measure = lambda _: math.nan
    """The better a tower, the higher; asked after each epoch of attention."""
    _spaces: dict[tuple[float, float], ItemSpace] = field(default_factory=dict, init=False, repr=False)
    _bags: dict[MemoryConfig, MemoryTwoTower] = field(default_factory=dict, init=False, repr=False)
    _readouts: dict[MemoryConfig, Readout] = field(default_factory=dict, init=False, repr=False)

    def tower(self, config: MemoryConfig) -> MemoryTwoTower:
        """The fitted tower of a config."""
        space = self._space(config)
        if config.readout in ("space", "ease"):
            return by_space(space, config)
        if config.readout == "bag":
            return beside_space(self._bag(config, space), space, config)
        if config.readout == "ridge":
            return by_ridge(space, self._ridge(config, space), config)
        return by_attention(self.histories, space, config, seed=self.seed, measure=self.measure)

    def _space(self, config: MemoryConfig) -> ItemSpace:
        """One decomposition serves all smaller sizes: the directions come most first."""
        powers = (config.user_power, config.item_power)
        if powers not in self._spaces or len(self._spaces[powers].spectrum_D) < config.embedding_size:
            self._spaces[powers] = space_of(self.histories, config, seed=self.seed)
        return self._spaces[powers]

    def _bag(self, config: MemoryConfig, space: ItemSpace) -> MemoryTwoTower:
        kept = config.changed({"bag": {"share": 1.0}})
        if kept not in self._bags:
            self._bags = {kept: by_bag(self.histories, space, config, seed=self.seed)}
        return self._bags[kept]

    def _ridge(self, config: MemoryConfig, space: ItemSpace) -> Readout:
        kept = config.changed({"ridge": 1.0, "popularity_power": 0.0})
        if kept not in self._readouts:
            self._readouts = {kept: ridge_of(self.histories, space, config)}
        return self._readouts[kept]
