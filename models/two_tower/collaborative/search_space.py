"""Where the search of each closed-form encoder begins, and what it changes, step after step."""

import math
from collections.abc import Sequence

from models.two_tower.collaborative.config import Change, CollaborativeConfig

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
