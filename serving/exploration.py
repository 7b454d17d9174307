"""Exploration: some places of a page go to items that the ranker is uncertain about, drawn with known probabilities.

The probabilities are logged as propensities, so that the clicks on these items measure what the ranker cannot estimate.
The loss is bounded: at most `slots` places of a page, and only items that the ranker puts right after the page.
Shapes: P candidate pairs of one user, S places.
"""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from contracts.csr import Longs
from ranking.feature_arrays import Floats


class ExplorationConfig(BaseModel):
    """Where and what a page explores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: int = Field(0, ge=0, description="places of a page for items that the ranker is uncertain about")
    temperature: float = Field(0.1, gt=0, description="of the softmax over relevance 0 to 1; higher is more random")
    pool: int = Field(50, ge=1, description="items that a page draws from: the best ones that are not on it")
    uncertain_users: int = Field(20, ge=0, description="an item with at most so many users is uncertain")

    def slots_of(self, length: int) -> int:
        """The explored places of a page of `length`: never more than half of it."""
        return min(self.slots, length // 2)

    def unless(self, *, off: bool) -> "ExplorationConfig":
        """The same, or none where it is switched off."""
        return self.model_copy(update={"slots": 0}) if off else self


NO_EXPLORATION = ExplorationConfig()


@dataclass(frozen=True)
class Explored:
    """The drawn items."""

    chosen: Longs  # [S] positions in what was drawn from
    propensities: NDArray[np.float64]  # [S] the probability of this item at this place


def drawn(relevance: Floats, slots: int, config: ExplorationConfig, seed: int) -> Explored:
    """One item for each slot; fewer slots where there are fewer items.

    The best `pool` items are dealt to the slots in turns, and each slot draws from its own ones. So the draws are
    independent, and each propensity is exact: that of a plain softmax.
    """
    best = np.argsort(-relevance, kind="stable")[: config.pool]
    shares = [best[slot :: max(slots, 1)] for slot in range(min(slots, len(best)))]
    random = np.random.default_rng(seed)
    draws = [_draw(share, relevance[share], config.temperature, random.random()) for share in shares]
    return Explored(np.array([item for item, _ in draws], np.int64), np.array([chance for _, chance in draws]))


def _draw(items: Longs, relevance: Floats, temperature: float, uniform: float) -> tuple[int, float]:
    odds = np.exp((relevance - relevance.max()).astype(float) / temperature)
    chances = odds / odds.sum()
    at = min(int(np.searchsorted(np.cumsum(chances), uniform, side="right")), len(items) - 1)
    return int(items[at]), float(chances[at])


def places_of(slots: int, length: int) -> list[int]:
    """The explored places of a page of `length`, spread evenly over it."""
    return [(slot + 1) * length // (slots + 1) for slot in range(slots)]


def seed_of(*parts: object) -> int:
    """The same number for the same parts, in every process."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
