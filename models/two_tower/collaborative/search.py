"""Coordinate search over the settings of the closed-form encoders."""

from collections.abc import Callable, Iterable, Sequence

from models.two_tower.budget import SECONDS_OF_EASE, search_seconds, seconds_of_ials, seconds_of_space
from models.two_tower.collaborative.config import Change, CollaborativeConfig
from models.two_tower.interactions import Interactions

Quality = Callable[[CollaborativeConfig], float]
"""What is maximised: the validation NDCG of a config."""


def search(
    quality: Quality, start: CollaborativeConfig, steps: Iterable[Sequence[Change]], past: Interactions
) -> tuple[CollaborativeConfig, float]:
    """The best config and its quality: of each step, the best change stays."""
    best, reached = start, quality(start)
    for changes in steps:
        for config in [best.changed(change) for change in changes]:
            if config != best and _affordable(past, config) and (found := quality(config)) > reached:
                best, reached = config, found
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
