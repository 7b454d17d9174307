"""Four circles of users, each with its own ten items: which a retrieval must learn."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from models.two_tower import TrainedTwoTower, TwoTowerConfig, train

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
TINY = TwoTowerConfig(
    encoder="content",
    embedding_size=16,
    history_length=6,
    epochs=12,
    batch_size=16,
    uniform_negatives=16,
    learning_rate=0.01,
    heads=2,
)
CIRCLES, PER_CIRCLE = 4, 10


def examples_of(histories: dict[str, list[str]], *, trainable: bool = True) -> pl.DataFrame:
    """A retrieval_examples table: hourly clicks, the last an hour before `AS_OF`."""
    times = [[AS_OF - timedelta(hours=len(h) - n) for n in range(len(h))] for h in histories.values()]
    return pl.DataFrame(
        {
            "user_id": list(histories),
            "item_ids": list(histories.values()),
            "actions": [["click"] * len(h) for h in histories.values()],
            "timestamps": times,
            "trainable": trainable,
        },
        schema={
            "user_id": pl.String,
            "item_ids": pl.List(pl.String),
            "actions": pl.List(pl.String),
            "timestamps": pl.List(pl.Datetime("us", "UTC")),
            "trainable": pl.Boolean,
        },
    )


@pytest.fixture(scope="session")
def as_of() -> datetime:
    return AS_OF


@pytest.fixture(scope="session")
def tiny() -> TwoTowerConfig:
    """Small enough for a test to train within a second or two."""
    return TINY


@pytest.fixture(scope="session")
def examples_from() -> Callable[..., pl.DataFrame]:
    return examples_of


@pytest.fixture(scope="session")
def items() -> pl.DataFrame:
    """Forty items, `c2-7` is the eighth of circle 2; neither the words of a title nor its age reveal the circle."""
    ids = [f"c{circle}-{n}" for circle in range(CIRCLES) for n in range(PER_CIRCLE)]
    return pl.DataFrame(
        {
            "item_id": ids,
            "title": [f"story {n} number {n}" for _ in range(CIRCLES) for n in range(PER_CIRCLE)],
            "creator_id": ["someone"] * len(ids),
            "categories": [["all", "news"] if n % 2 else [] for n in range(len(ids))],
            "language": ["en"] * len(ids),
            "created_at": [AS_OF - timedelta(days=30 + n % PER_CIRCLE) for n in range(len(ids))],
        }
    )


@pytest.fixture(scope="session")
def examples() -> pl.DataFrame:
    """120 users, each with six random items of their circle."""
    rng = np.random.default_rng(1)
    histories = {f"u{n}": [f"c{n % CIRCLES}-{item}" for item in rng.permutation(PER_CIRCLE)[:6]] for n in range(120)}
    return examples_of(histories)


@pytest.fixture(scope="session")
def trained(examples: pl.DataFrame, items: pl.DataFrame) -> TrainedTwoTower:
    """Trained on the circles; tests must not change it."""
    return train(examples, items, config=TINY.model_copy(update={"validation_days": 0.0}), seed=3)
