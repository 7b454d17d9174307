"""Configs tried on a held-out part of the histories."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from tastefeed.models.two_tower.memory.budget import MOST_SECONDS, seconds_of_space
from tastefeed.models.two_tower.memory.config import Change, MemoryConfig
from tastefeed.models.two_tower.memory.fitting import Measure
from tastefeed.models.two_tower.memory.histories import Histories
from tastefeed.models.two_tower.memory.tower import MemoryTwoTower
from tastefeed.models.two_tower.memory.validation import HeldOut
from tastefeed.models.two_tower.memory.workshop import Workshop

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


@dataclass(frozen=True)
class Bench:
    """Fits configs on the past of a held-out set and asks the rest."""

    held_out: HeldOut
    k: int
    seed: int
    on_trial: OnTrial

    @cached_property
    def workshop(self) -> Workshop:
        """Where every trial is fitted."""
        return Workshop(self.held_out.past, self.seed, self.ndcg)

    @property
    def ndcg(self) -> Measure:
        """What is maximized; no method, which would hold the bench and all that is large until garbage is collected."""
        return partial(self.held_out.ndcg_at_k, k=self.k)

    def trial(self, config: MemoryConfig) -> Trial:
        """Measure one config."""
        tower = self.workshop.tower(config)
        tried = Trial(tower, self.ndcg(tower))
        self.on_trial(tried)
        return tried


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
