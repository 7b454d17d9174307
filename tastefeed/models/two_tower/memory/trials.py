"""Configs tried on a held-out part of the histories."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tastefeed.models.two_tower.memory.budget import MOST_SECONDS, seconds_of_space
from tastefeed.models.two_tower.memory.config import Change, MemoryConfig, NeighboursConfig
from tastefeed.models.two_tower.memory.fitting import (
    beside_neighbours,
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
from tastefeed.models.two_tower.memory.tree_lessons import with_trees
from tastefeed.models.two_tower.memory.validation import HeldOut

OnTrial = Callable[["Trial"], None]


@dataclass(frozen=True)
class Trial:
    """A config, the tower it makes of the past, and what validation says of it."""

    tower: MemoryTwoTower
    ndcg: float

    @property
    def config(self) -> MemoryConfig:
        """What was tried."""
        return self.tower.config


@dataclass
class Bench:
    """Fits configs on the past of a held-out set; what several configs share is kept while its settings stay."""

    held_out: HeldOut
    k: int
    seed: int
    on_trial: OnTrial
    _spaces: dict[tuple[float, ...], ItemSpace] = field(default_factory=dict)
    _bags: dict[MemoryConfig, MemoryTwoTower] = field(default_factory=dict)
    _readouts: dict[MemoryConfig, Readout] = field(default_factory=dict)

    def trial(self, config: MemoryConfig) -> Trial:
        """Measure one config."""
        return self._tried(beside_neighbours(self._tower(config), self.held_out.past, config))

    def second_look(self, at: Trial, change: Change) -> Trial:
        """Measure a tower with trees, which learn from people of whom nobody else is asked."""
        past, teachers, config = self.held_out.past, self.held_out.teachers, at.config.changed(change)
        return self._tried(with_trees(at.tower, past, teachers, config, seed=self.seed))

    def ndcg(self, tower: MemoryTwoTower) -> float:
        """What is maximized."""
        return self.held_out.ndcg_at_k(tower, self.k)

    def _tried(self, tower: MemoryTwoTower) -> Trial:
        tried = Trial(tower, self.ndcg(tower))
        self.on_trial(tried)
        return tried

    def _tower(self, config: MemoryConfig) -> MemoryTwoTower:
        space = self._space(config)
        if config.readout in ("space", "ease"):
            return by_space(space, config)
        if config.readout == "bag":
            return beside_space(self._bag(config), space, config)
        if config.readout == "ridge":
            return by_ridge(space, self._ridge(config), config)
        return by_attention(self.held_out.past, space, config, seed=self.seed, measure=self.ndcg)

    def _space(self, config: MemoryConfig) -> ItemSpace:
        """One decomposition serves all smaller sizes: the directions come most first."""
        powers = (config.user_power, config.item_power)
        if powers not in self._spaces or len(self._spaces[powers].spectrum_D) < config.embedding_size:
            self._spaces[powers] = space_of(self.held_out.past, config, seed=self.seed)
        return self._spaces[powers]

    def _bag(self, config: MemoryConfig) -> MemoryTwoTower:
        kept = config.changed({"bag": {"share": 1.0}, "neighbours": NeighboursConfig()})
        if kept not in self._bags:
            self._bags = {kept: by_bag(self.held_out.past, self._space(config), config, seed=self.seed)}
        return self._bags[kept]

    def _ridge(self, config: MemoryConfig) -> Readout:
        kept = config.changed({"ridge": 1.0, "popularity_power": 0.0})
        if kept not in self._readouts:
            self._readouts = {kept: ridge_of(self.held_out.past, self._space(config), config)}
        return self._readouts[kept]


def search(bench: Bench, start: MemoryConfig, steps: Iterable[Sequence[Change]]) -> Trial:
    """Coordinate search: of each step the best change stays."""
    best = bench.trial(start)
    for changes in steps:
        for config in [best.config.changed(change) for change in changes]:
            if _affordable(bench.held_out.past, config):
                best = max(best, bench.trial(config), key=merit)  # one after the other: towers can be large
    return best


def _affordable(past: Histories, config: MemoryConfig) -> bool:
    within = config.embedding_size <= min(len(past.counts), past.item_count)
    return within and seconds_of_space(past, config.embedding_size) <= MOST_SECONDS


def merit(trial: Trial) -> float:
    """The higher, the better."""
    return trial.ndcg
