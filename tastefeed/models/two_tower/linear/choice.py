"""Choosing what a linear two-tower is by validation on the training rows: one setting after the other, best first."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tastefeed.models.two_tower.linear.config import LinearConfig
from tastefeed.models.two_tower.linear.histories import Histories
from tastefeed.models.two_tower.linear.order import tells_order
from tastefeed.models.two_tower.linear.readout import Readout
from tastefeed.models.two_tower.linear.space import ItemSpace
from tastefeed.models.two_tower.linear.towers import LinearTwoTower, bag_of, fit, memory_of, readout_of, space_of
from tastefeed.models.two_tower.linear.validation import HeldOut, hold_out

Change = dict[str, Any]
"""Settings that go together."""
OnTrial = Callable[["Trial"], None]

BAG = LinearConfig(encoder="bag")
MEMORY = LinearConfig(encoder="memory", embedding_size=128, item_power=0.3, popularity_power=-0.2)
BAG_STEPS: tuple[Sequence[Change], ...] = (
    [{"embedding_size": size} for size in (32, 64, 128, 512, 1024)],
    [{"user_power": user, "item_power": item} for user, item in ((0.1, 0.4), (0.2, 0.2), (0.3, 0.3), (0.5, 0.5))],
    [{"popularity_power": power} for power in (0.0, 0.1, 0.3, 0.4)],
    [{"spectrum_power": power} for power in (0.5, 1.0)],
    [{"embedding_size": size} for size in (4, 8, 16, 32, 64, 128, 512, 1024, 2048)],
)
MEMORY_STEPS: tuple[Sequence[Change], ...] = (
    [{"half_lives": lives} for lives in ((1.0, 4.0, 16.0, math.inf), (3.0, 30.0, math.inf), (math.inf,))],
    [{"embedding_size": size} for size in (64, 256)],
    [{"ridge": ridge} for ridge in (10.0, 1000.0, 10_000.0)],
    [{"popularity_power": power} for power in (0.0, -0.1, -0.3)],
)
MOST_WORK = 2.0e9
"""Touches times dimensions of an item space that may be asked for: a minute of one core."""


@dataclass(frozen=True)
class Trial:
    """A config and what validation says of it."""

    config: LinearConfig
    ndcg: float


@dataclass
class Bench:
    """Fits configs on the past of a held-out set; item spaces and readouts are kept while their settings stay."""

    held_out: HeldOut
    k: int
    seed: int
    on_trial: OnTrial
    _spaces: dict[tuple[float, ...], ItemSpace] = field(default_factory=dict)
    _readouts: dict[tuple[Any, ...], Readout] = field(default_factory=dict)

    def trial(self, config: LinearConfig) -> Trial:
        """Measure one config."""
        tried = Trial(config, self.held_out.ndcg_at_k(self._tower(config), self.k))
        self.on_trial(tried)
        return tried

    def _tower(self, config: LinearConfig) -> LinearTwoTower:
        space = self._space(config)
        return bag_of(space, config) if config.encoder == "bag" else memory_of(space, self._readout(config), config)

    def _space(self, config: LinearConfig) -> ItemSpace:
        """One decomposition serves all smaller sizes: the directions come most first."""
        powers = (config.user_power, config.item_power)
        if powers not in self._spaces or len(self._spaces[powers].spectrum_D) < config.embedding_size:
            self._spaces[powers] = space_of(self.held_out.past, config, seed=self.seed)
        return self._spaces[powers]

    def _readout(self, config: LinearConfig) -> Readout:
        kept = config.model_copy(update={"ridge": 1.0, "popularity_power": 0.0})
        key = tuple(kept.model_dump().values())
        if key not in self._readouts:
            self._readouts = {key: readout_of(self.held_out.past, self._space(config), config)}
        return self._readouts[key]


def fit_linear(
    histories: Histories,
    *,
    k: int = 20,
    seed: int,
    ordered: bool | None = None,
    on_trial: OnTrial = lambda _: None,
) -> LinearTwoTower:
    """Choose a config on a held-out part of the histories, then fit it to all of them.

    `ordered` says whether the histories' order is that of time; None: as `tells_order` finds. Where nothing can be held
    out, the defaults are fitted. Raises `UntrainableInput` where nobody touched anything.
    """
    ordered = tells_order(histories, seed) if ordered is None else ordered
    held_out = hold_out(histories, ordered=ordered, seed=seed)
    if not len(held_out.asked.counts):
        return fit(histories, BAG, seed=seed)
    searched = partial(search, Bench(held_out, k, seed, on_trial))
    found = [searched(BAG, BAG_STEPS)] + ([searched(MEMORY, MEMORY_STEPS)] if ordered else [])
    return fit(histories, max(found, key=lambda trial: trial.ndcg).config, seed=seed)


def search(bench: Bench, start: LinearConfig, steps: Iterable[Sequence[Change]]) -> Trial:
    """Coordinate search: of each step the best change stays."""
    best = bench.trial(_fitting(bench, start))
    for changes in steps:
        asked = (best.config.model_copy(update=change) for change in changes)
        best = max([best, *(bench.trial(config) for config in asked if _affordable(bench, config))], key=_merit)
    return best


def _fitting(bench: Bench, start: LinearConfig) -> LinearConfig:
    """Not all dimensions: they would tell every item apart and liken none."""
    learnable = max(1, min(len(bench.held_out.past.counts), bench.held_out.past.item_count) // 4)
    return start.model_copy(update={"embedding_size": min(start.embedding_size, learnable)})


def _affordable(bench: Bench, config: LinearConfig) -> bool:
    past = bench.held_out.past
    within = config.embedding_size <= min(len(past.counts), past.item_count)
    return within and len(past.items) * config.embedding_size <= MOST_WORK


def _merit(trial: Trial) -> float:
    return trial.ndcg
