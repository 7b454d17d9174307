"""What a fit may cost: it is counted beforehand and not measured, so that the same data choose the same config.

A busy machine changes nothing, then; a processor without half precision does, for it trains a third as much in the
time. Seconds are those of two cores of an ordinary server.
"""

from dataclasses import dataclass

import torch

from tastefeed.models.two_tower.memory.config import AttentionConfig, BagConfig
from tastefeed.models.two_tower.memory.histories import Histories
from tastefeed.models.two_tower.memory.learning import epochs_of
from tastefeed.models.two_tower.memory.precision import half

MINUTES = 10.0
"""For all that is trained in one fit; what is in closed form and its search take some minutes more."""
MOST_SECONDS, SECONDS_OF_EASE = 40.0, 10.0
"""For an item space that may be asked for; for the one that a search of EASE begins with."""
LEAST_MINUTES, MINUTES_A_MILLION = 2.0, 8.0
"""Training minutes of a data set of few rows, and what every further million rows adds, up to `MINUTES`."""
SMALLEST = 64
"""Dimensions below which training is not worth its while."""
FEW_PASSES = 0.5
"""Share of all passes below which a transformer learns too little to be held back by dropout: on ML-1M's validation,
five passes of twelve came to NDCG@20 .2366 without it and .2287 with it, the best of all twelve to .2389 and .2439."""
BACK_AND_FORTH = {"bag": 5, "attention": 3}
"""Multiplications of a step for each one that scores."""
A_SECOND = {
    "bag": {torch.bfloat16: 1.3e11, torch.float32: 3.5e10},
    "attention": {torch.bfloat16: 5.5e10, torch.float32: 2.6e10},
}
"""Multiplications, with all that goes on beside them."""


@dataclass(frozen=True)
class Budget:
    """For one training on `past`."""

    past: Histories
    seconds: float

    def bag(self, sizes: BagConfig) -> BagConfig | None:
        """As many dimensions as there is time for; None: too few, or no time at all."""
        size = sizes.embedding_size
        while size >= SMALLEST and self.seconds_of_bag(sizes, size) > self.seconds:
            size //= 2
        enough = self.seconds > 0 and size >= min(SMALLEST, sizes.embedding_size)
        return sizes.model_copy(update={"embedding_size": size}) if enough else None

    def attention(self, sizes: AttentionConfig) -> AttentionConfig:
        """As many passes as there is time for, at least one; without dropout where they are few."""
        possible, wanted = int(self.seconds / self.seconds_of_epoch(sizes)), epochs_of(self.past, sizes)
        if possible >= wanted:
            return sizes
        change = {"epochs": max(1, possible), "fewest_steps": 1}
        if possible < wanted * FEW_PASSES:
            change["dropout"] = 0
        return sizes.model_copy(update=change)

    def seconds_of_bag(self, sizes: BagConfig, size: int) -> float:
        """Of all its steps: every person of a step is compared with every item."""
        people = len(self.past.counts)
        parts = -(-people // sizes.batch_size)
        passes = max(sizes.epochs, sizes.fewest_steps / max(parts, 1))
        return _seconds("bag", passes * people * self.past.item_count * size)

    def seconds_of_epoch(self, sizes: AttentionConfig) -> float:
        """Of one pass: layers, the window that a touch looks back at, and the items that it is compared with."""
        size = sizes.embedding_size
        layers = sizes.layers * size * ((4 + 2 * sizes.widening) * size + 2 * sizes.window)
        compared = min(self.past.item_count, sizes.negatives) * size
        return _seconds("attention", min(len(self.past.items), sizes.lessons) * (layers + compared))


def seconds_of_space(past: Histories, size: int) -> float:
    """What a decomposition takes: products with who touched what, and orthogonal directions."""
    return 1e-8 * len(past.items) * size + (2e-11 * len(past.counts) + 2.6e-10 * past.item_count) * size**2


def training_minutes(histories: Histories) -> float:
    """The training budget of a data set where none is given: it grows with the rows, up to `MINUTES`."""
    return min(MINUTES, LEAST_MINUTES + MINUTES_A_MILLION * len(histories.items) / 1e6)


def _seconds(training: str, products: float) -> float:
    return BACK_AND_FORTH[training] * products / A_SECOND[training][half()]
