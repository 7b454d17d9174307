"""Choosing what a memory two-tower is by validation on the training rows: one setting after the other, best first."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tastefeed.models.two_tower.memory.config import MemoryConfig
from tastefeed.models.two_tower.memory.fitting import by_network, by_ridge, by_space, fit, ridge_of, space_of
from tastefeed.models.two_tower.memory.histories import Histories
from tastefeed.models.two_tower.memory.order import tells_order
from tastefeed.models.two_tower.memory.readout import Readout
from tastefeed.models.two_tower.memory.space import ItemSpace
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower
from tastefeed.models.two_tower.memory.validation import HeldOut, hold_out

Change = dict[str, Any]
"""Settings that go together."""
OnTrial = Callable[["Trial"], None]

SPACE = MemoryConfig()
RIDGE = MemoryConfig(
    readout="ridge",
    embedding_size=128,
    half_lives=(0.5, 2.0, 6.0, 20.0, 80.0),
    item_power=0.3,
    popularity_power=-0.2,
)
SPACE_STEPS: tuple[Sequence[Change], ...] = (
    [{"embedding_size": size} for size in (32, 64, 128, 512, 1024)],
    [{"user_power": user, "item_power": item} for user, item in ((0.1, 0.4), (0.2, 0.2), (0.3, 0.3), (0.5, 0.5))],
    [{"popularity_power": power} for power in (0.0, 0.1, 0.3, 0.4)],
    [{"spectrum_power": power} for power in (-0.3, 0.5, 1.0)],
    [{"embedding_size": size} for size in (4, 8, 16, 32, 64, 128, 512, 1024, 2048)],
)
RIDGE_STEPS: tuple[Sequence[Change], ...] = (
    [{"half_lives": lives} for lives in ((1.0, 4.0, 16.0, math.inf), (3.0, 30.0, math.inf), (math.inf,))],
    [{"embedding_size": size} for size in (64, 256)],
    [{"ridge": ridge} for ridge in (10.0, 1000.0, 10_000.0)],
    [{"popularity_power": power} for power in (0.0, -0.1, -0.3)],
)
MOST_WORK = 2.0e9
"""Touches times dimensions of an item space that may be asked for: a minute of one core."""
HELD_OUT_AT_MOST = 0.02
"""Share of the touches that a trained network may lack in the end; above it, it is trained again with all."""


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
    """Fits configs on the past of a held-out set; item spaces and ridge sums are kept while their settings stay."""

    held_out: HeldOut
    k: int
    seed: int
    on_trial: OnTrial
    _spaces: dict[tuple[float, ...], ItemSpace] = field(default_factory=dict)
    _readouts: dict[tuple[Any, ...], Readout] = field(default_factory=dict)

    def trial(self, config: MemoryConfig) -> Trial:
        """Measure one config."""
        tower = self._tower(config)
        tried = Trial(tower, self.ndcg(tower))
        self.on_trial(tried)
        return tried

    def ndcg(self, tower: MemoryTwoTower) -> float:
        """What is maximized."""
        return self.held_out.ndcg_at_k(tower, self.k)

    def _tower(self, config: MemoryConfig) -> MemoryTwoTower:
        space = self._space(config)
        if config.readout == "space":
            return by_space(space, config)
        if config.readout == "ridge":
            return by_ridge(space, self._ridge(config), config)
        return by_network(self.held_out.past, space, config, seed=self.seed, measure=self.ndcg)

    def _space(self, config: MemoryConfig) -> ItemSpace:
        """One decomposition serves all smaller sizes: the directions come most first."""
        powers = (config.user_power, config.item_power)
        if powers not in self._spaces or len(self._spaces[powers].spectrum_D) < config.embedding_size:
            self._spaces[powers] = space_of(self.held_out.past, config, seed=self.seed)
        return self._spaces[powers]

    def _ridge(self, config: MemoryConfig) -> Readout:
        kept = config.model_copy(update={"ridge": 1.0, "popularity_power": 0.0})
        key = tuple(kept.model_dump().values())
        if key not in self._readouts:
            self._readouts = {key: ridge_of(self.held_out.past, self._space(config), config)}
        return self._readouts[key]


def fit_memory(
    histories: Histories,
    *,
    k: int = 20,
    seed: int,
    ordered: bool | None = None,
    trained: bool = True,
    on_trial: OnTrial = lambda _: None,
) -> MemoryTwoTower:
    """Choose a config on a held-out part of the histories, then fit it to all of them.

    `ordered` says whether the histories' order is that of time; None: as `tells_order` finds. `trained`: whether a
    network may be tried, which takes minutes. Where nothing can be held out, the defaults are fitted. Raises
    `UntrainableInput` where nobody touched anything.
    """
    ordered = tells_order(histories, seed) if ordered is None else ordered
    held_out = hold_out(histories, ordered=ordered, seed=seed)
    if not len(held_out.asked.counts):
        return fit(histories, SPACE, seed=seed)
    bench = Bench(held_out, k, seed, on_trial)
    found = [search(bench, SPACE, SPACE_STEPS)]
    if ordered:
        found.append(search(bench, RIDGE, RIDGE_STEPS))
    if ordered and trained:
        found.append(bench.trial(found[-1].config.model_copy(update={"readout": "network"})))
    return _with_everything(max(found, key=_merit), histories, held_out, seed)


def search(bench: Bench, start: MemoryConfig, steps: Iterable[Sequence[Change]]) -> Trial:
    """Coordinate search: of each step the best change stays."""
    best = bench.trial(_fitting(bench, start))
    for changes in steps:
        for config in [best.config.model_copy(update=change) for change in changes]:
            if _affordable(bench, config):
                best = max(best, bench.trial(config), key=_merit)  # one after the other: towers can be large
    return best


def _with_everything(best: Trial, histories: Histories, held_out: HeldOut, seed: int) -> MemoryTwoTower:
    """The chosen config fitted to what was held out as well."""
    if best.tower.network is None:
        return fit(histories, best.config, seed=seed)
    if len(held_out.past.items) >= (1 - HELD_OUT_AT_MOST) * len(histories.items):
        return best.tower
    epochs = max(best.tower.epochs, key=lambda result: result.ndcg).epoch
    return fit(histories, best.config.model_copy(update={"epochs": epochs}), seed=seed)


def _fitting(bench: Bench, start: MemoryConfig) -> MemoryConfig:
    """Not all dimensions: they would tell every item apart and liken none."""
    learnable = max(1, min(len(bench.held_out.past.counts), bench.held_out.past.item_count) // 4)
    return start.model_copy(update={"embedding_size": min(start.embedding_size, learnable)})


def _affordable(bench: Bench, config: MemoryConfig) -> bool:
    past = bench.held_out.past
    within = config.embedding_size <= min(len(past.counts), past.item_count)
    return within and len(past.items) * config.embedding_size <= MOST_WORK


def _merit(trial: Trial) -> float:
    return trial.ndcg
