"""Coordinate search over the settings of the closed-form encoders: where each begins, and what each step changes."""

import math
from collections.abc import Callable, Iterable, Sequence

from models.two_tower.budget import SECONDS_OF_EASE, search_seconds, seconds_of_ials, seconds_of_space
from models.two_tower.collaborative.collaborative_config import Change, CollaborativeConfig
from models.two_tower.csr_interactions import Interactions

Quality = Callable[[CollaborativeConfig], float]
"""What is maximised: the validation NDCG of a config."""


def search(
    quality: Quality, start: CollaborativeConfig, steps: Iterable[Sequence[Change]], past: Interactions
) -> tuple[CollaborativeConfig, float]:
    """The best config and its quality: of each step, the best change stays."""
    best, reached = start, quality(start)
    for changes in steps:
        for config in [best.changed(change) for change in changes]:
            if config != best and _affordable(past, config) and (value := quality(config)) > reached:
                best, reached = config, value
    return best, reached


def _affordable(past: Interactions, config: CollaborativeConfig) -> bool:
    seconds = (seconds_of_ials if config.encoder == "ials" else seconds_of_space)(past, config.embedding_size)
    within = config.embedding_size <= min(len(past.counts), past.item_count)
    return within and seconds <= search_seconds(past)


def low_rank(start: CollaborativeConfig, past: Interactions) -> CollaborativeConfig:
    """Caps the rank at a quarter of the matrix size; a full-rank SVD would not generalise."""
    learnable = max(1, min(len(past.counts), past.item_count) // 4)
    return start.model_copy(update={"embedding_size": min(start.embedding_size, learnable)})


def high_rank(start: CollaborativeConfig, past: Interactions) -> CollaborativeConfig:
    """As many dimensions as a search has time for: shrinkage generalises without cutting any off."""
    size = min(start.embedding_size, len(past.counts), past.item_count)
    while size > 1 and seconds_of_space(past, size) > SECONDS_OF_EASE:
        size //= 2
    return start.model_copy(update={"embedding_size": size})


SVD = CollaborativeConfig()
EASE = CollaborativeConfig(encoder="ease", embedding_size=1024, user_power=0.2, item_power=0.2, shrinkage=0.03)
RIDGE = CollaborativeConfig(
    encoder="ridge",
    embedding_size=128,
    half_lives=(0.5, 2.0, 6.0, 20.0, 80.0),
    item_power=0.3,
    popularity_power=-0.2,
)
IALS = CollaborativeConfig(encoder="ials", embedding_size=128)
SVD_STEPS: tuple[Sequence[Change], ...] = (
    [{"embedding_size": size} for size in (32, 64, 128)],
    [{"user_power": user, "item_power": item} for user, item in ((0.1, 0.4), (0.2, 0.2), (0.3, 0.3), (0.5, 0.5))],
    [{"embedding_size": size} for size in (512, 1024)],
    [{"popularity_power": power} for power in (0.0, 0.1, 0.3, 0.4)],
    [{"spectrum_power": power} for power in (-0.3, 0.5, 1.0)],
    [{"embedding_size": size} for size in (4, 8, 16, 32, 64, 128, 512, 1024, 2048)],
)
EASE_STEPS: tuple[Sequence[Change], ...] = (
    [{"shrinkage": shrinkage} for shrinkage in (0.003, 0.01, 0.1, 0.3)],
    [{"user_power": user, "item_power": item} for user, item in ((0.0, 0.0), (0.0, 0.2), (0.3, 0.2), (0.3, 0.4))],
    [{"popularity_power": power} for power in (0.0, 0.1, 0.4)],
    [{"shrinkage": shrinkage} for shrinkage in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)],
    [{"embedding_size": size} for size in (512, 1024, 2048)],
)
RIDGE_STEPS: tuple[Sequence[Change], ...] = (
    [{"half_lives": lives} for lives in ((1.0, 4.0, 16.0, math.inf), (3.0, 30.0, math.inf), (math.inf,))],
    [{"embedding_size": size} for size in (64, 256)],
    [{"ridge": ridge} for ridge in (10.0, 1000.0, 10_000.0)],
    [{"popularity_power": power} for power in (0.0, -0.1, -0.3)],
)
IALS_STEPS: tuple[Sequence[Change], ...] = (
    [{"alpha": 10.0, "regularization": 10.0}, {"alpha": 100.0, "regularization": 100.0}],
    [{"embedding_size": size} for size in (64, 256)],
)
