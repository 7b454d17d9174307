"""The cost of a fit, estimated beforehand from sizes, so that the same data give the same config on a busy machine.

A processor without half precision trains a third as much in the time. Seconds are those of two cores of an ordinary
server.
"""

from dataclasses import dataclass

import torch

from models.two_tower.collaborative.collaborative_config import BagConfig, SequenceConfig
from models.two_tower.collaborative.sequence_training import epochs_of
from models.two_tower.csr_interactions import Interactions
from models.two_tower.training_loop import CPU, half

LEAST_SECONDS, SECONDS_A_MILLION, SECONDS_OF_EASE = 10.0, 30.0, 10.0
"""Seconds of the largest SVD of a search: for few interactions, and for every further million. Last, those of the
decomposition that starts a search of EASE."""
LEAST_MINUTES, MINUTES_A_MILLION = 1.5, 9.5
"""Training minutes of a data set of few interactions, and what every further million adds."""
SMALLEST = 64
"""Dimensions below which no bag is trained."""
FEW_PASSES = 0.5
"""Share of all passes below which a transformer is better without dropout: on ML-1M's validation,
five passes of twelve came to NDCG@20 .2366 without it and .2287 with it, the best of all twelve to .2389 and .2439."""
FORWARD_AND_BACKWARD = {"bag": 5, "sequence": 3}
"""Multiplications of a step for each one that scores."""
A_SECOND = {
    "bag": {torch.bfloat16: 1.3e11, torch.float32: 3.5e10},
    "sequence": {torch.bfloat16: 5.5e10, torch.float32: 2.6e10},
}
"""Multiplications, with all that goes on beside them."""
GPU_SPEED = 35.0
"""Speed of an H100 in training `sequence`, as a multiple of two cores with bfloat16."""
SECONDS_A_WEIGHT = 1e-8
"""Seconds of an optimizer step for each entry of the item vectors."""


@dataclass(frozen=True)
class Budget:
    """For one training on `past`."""

    past: Interactions
    seconds: float
    device: torch.device = CPU
    """Where the transformer is trained."""

    def bag(self, sizes: BagConfig) -> BagConfig | None:
        """As many dimensions as there is time for; None: too few, or no time at all."""
        size = sizes.embedding_size
        while size >= SMALLEST and self.seconds_of_bag(sizes, size) > self.seconds:
            size //= 2
        enough = self.seconds > 0 and size >= min(SMALLEST, sizes.embedding_size)
        return sizes.model_copy(update={"embedding_size": size}) if enough else None

    def sequence(self, sizes: SequenceConfig) -> SequenceConfig:
        """As many passes as there is time for, at least one; without dropout where they are few."""
        wanted, epoch = epochs_of(self.past, sizes.on(self.device.type)), self.seconds_of_epoch(sizes)
        if wanted * epoch <= self.seconds:
            return sizes
        possible = int(self.seconds / epoch)
        change = {"epochs": max(1, possible), "min_steps": 1}
        if possible < wanted * FEW_PASSES:
            change["dropout"] = 0
        return sizes.model_copy(update=change)

    def seconds_of_bag(self, sizes: BagConfig, size: int) -> float:
        """Seconds of all steps of a bag: every user of a step is compared with every item."""
        users = len(self.past.counts)
        parts = -(-users // sizes.batch_size)
        passes = max(sizes.epochs, sizes.min_steps / max(parts, 1))
        return _seconds("bag", passes * users * self.past.item_count * size)

    def seconds_of_epoch(self, sizes: SequenceConfig) -> float:
        """Seconds of one pass: layers, the history that is attended to, the compared items, and the optimizer."""
        size = sizes.embedding_size
        layers = sizes.layers * size * ((4 + 2 * sizes.feed_forward_factor) * size + 2 * sizes.history_length)
        compared, seen = min(self.past.item_count, sizes.negatives) * size, self.past.targets
        seen = min(seen, sizes.interactions_per_epoch)
        optimizer = SECONDS_A_WEIGHT * self.past.item_count * size * -(-seen // sizes.batch_size)
        seconds = optimizer + _seconds("sequence", seen * (layers + compared))
        return seconds / GPU_SPEED if self.device.type == "cuda" else seconds


def seconds_of_space(past: Interactions, size: int) -> float:
    """What a decomposition takes: products with the interaction matrix, and orthogonalisation."""
    return 1e-8 * len(past.items) * size + (2e-11 * len(past.counts) + 2.6e-10 * past.item_count) * size**2


def seconds_of_ials(past: Interactions, size: int) -> float:
    """What alternating least squares take: 15 sweeps, with 3 conjugate gradient steps for each user and item."""
    return 15 * 3 * ((len(past.counts) + past.item_count) * size**2 + 4 * len(past.items) * size) / 4e9


def search_seconds(past: Interactions) -> float:
    """What one decomposition of a search may take."""
    return LEAST_SECONDS + SECONDS_A_MILLION * len(past.items) / 1e6


def training_minutes(interactions: Interactions, minutes: float) -> float:
    """What training may take: it grows with the interactions, up to `minutes`."""
    return min(minutes, LEAST_MINUTES + MINUTES_A_MILLION * len(interactions.items) / 1e6)


def _seconds(training: str, products: float) -> float:
    return FORWARD_AND_BACKWARD[training] * products / A_SECOND[training][half(CPU)]
